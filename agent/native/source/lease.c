// SPDX-License-Identifier: GPL-2.0-only
/*
 * What if this process gets stuck in the window? Then the kernel thaws
 * (kernel-patches/abi/hold.rst), the guard wakes up by that, sees that it should not run, and ends
 * this process (source/guard.h). A kernel without leases has only the limits that this process sets
 * itself.
 */
#include <errno.h>
#include <stdatomic.h>

#include "common/clock.h"
#include "source/attempt.h"

#define RENEW_MS 250

int lease_renew(struct attempt *a, unsigned int ms)
{
	int error = a->snapshot.ops->lease(&a->snapshot, ms);

	a->lease_ns = clock_ns();
	if (error == 0)
		atomic_store(&a->guard.shared->leased, true);
	if (error != -ETIME)
		return 0;
	return failure_set(&a->failure, PMSM_E_LEASE_ENDED, ETIME,
			   "the kernel has thawed this machine");
}

int lease_keep(struct attempt *a)
{
	petting_pet(&a->petting);
	if (clock_ns() - a->lease_ns < RENEW_MS * NS_PER_MS)
		return 0;
	return lease_renew(a, LEASE_MS);
}
