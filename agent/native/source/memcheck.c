// SPDX-License-Identifier: GPL-2.0-only
/*
 * A test of the engines (option --check): digests of all page frames, from the machine that made
 * the image and from the one that it became, go to the orchestrator, which compares them. It makes
 * the window longer by several tenths of a second.
 */
#include <errno.h>

#include "common/clock.h"
#include "source/attempt.h"

#define DIGESTS_PER_MESSAGE 8000
#define SEND_TIMEOUT_MS	    2000

/* Before processes are frozen. */
int memcheck_begin(struct attempt *a)
{
	struct pmsm_snapshot_check io = {.flags = PMSM_SNAPSHOT_CHECK_BEGIN};
	int error;

	if (!a->options.check)
		return 0;
	error = a->snapshot.ops->check(&a->snapshot, &io);
	if (error)
		return failure_set(&a->failure, PMSM_E_ENGINE_UNAVAILABLE, error,
				   "the kernel cannot check what it restores: %s",
				   strerror(-error));
	return 0;
}

int memcheck_send(struct attempt *a)
{
	static uint64_t digests[DIGESTS_PER_MESSAGE];
	struct pmsm_snapshot_check io = {.frames = 1};
	int error = 0;

	for (uint64_t pfn = 0; a->options.check && !error && pfn < io.frames;
	     pfn += DIGESTS_PER_MESSAGE) {
		struct pmsm_msg_frame_digests m = {.first_pfn = pfn};

		io.first_pfn = pfn;
		io.flags = 0;
		io.digests = (uintptr_t)digests;
		io.digests_nr = DIGESTS_PER_MESSAGE;
		error = a->snapshot.ops->check(&a->snapshot, &io);
		if (error)
			break;
		if (lease_keep(a))
			return -ETIME;
		m.frames = io.frames;
		memcpy(m.stack, io.stack, sizeof(m.stack));
		m.percpu_frames = io.percpu_nr;
		memcpy(m.percpu_pfn, io.percpu_pfn, sizeof(m.percpu_pfn));
		error = link_send(&a->control, PMSM_MSG_FRAME_DIGESTS, &m, digests,
				  io.digests_nr * sizeof(digests[0]),
				  clock_deadline_ms(SEND_TIMEOUT_MS));
	}
	return error;
}
