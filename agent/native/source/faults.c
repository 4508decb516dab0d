// SPDX-License-Identifier: GPL-2.0-only
#include "source/faults.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

static void kill_other(pid_t pid)
{
	if (pid > 0)
		kill(pid, SIGKILL);
}

int fault_strike(struct attempt *a, enum pmsm_phase phase)
{
	switch (fault_begin(&a->fault, phase)) {
	case FAULT_BOTH:
		kill_other(a->deputy.pid);
		kill(getpid(), SIGKILL);
		return 0;
	case FAULT_DEPUTY:
		kill_other(a->deputy.pid);
		return 0;
	case FAULT_GUARD:
		kill_other(a->guard.pid);
		return 0;
	case FAULT_FAIL:
		return failure_set(&a->failure, PMSM_E_INTERNAL, EIO, "injected fault in %s",
				   pmsm_phase_name((uint16_t)phase));
	default:
		return 0;
	}
}

void fault_strike_late(const struct attempt *a, enum pmsm_phase phase)
{
	if (a->fault.phase != phase)
		return;
	if (a->fault.action == FAULT_LATE)
		kill(getpid(), SIGKILL);
	while (a->fault.action == FAULT_HANG)
		pause();
}

bool fault_is_stall(const struct attempt *a, enum pmsm_phase phase)
{
	return a->fault.phase == phase && a->fault.action == FAULT_STALL;
}
