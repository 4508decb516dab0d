/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_GUARD_H
#define PMSM_GUARD_H

#include <sys/types.h>

#include "common/state.h"
#include "source/bystanders.h"
#include "source/settings.h"

/*
 * What happens if the helper dies in the window?
 *
 * The kernel closes its /dev/snapshot, and that frees the image and thaws every process, unless the
 * deputy has it open as well and goes on (source/deputy.h). But file systems stay frozen, and the
 * quarantine stays in force; neither belongs to a process. So another process, the guard, is forked
 * before the window. It is frozen with all others, and wakes by that very thaw. It then finds the
 * end of its pipe (only helper and deputy had the other end) and acts by the order that the helper
 * left in shared memory:
 *
 *     IDLE     nothing stands still, or everything is back: restore settings
 *     RECOVER  the source owns the state: thaw file systems, delete quarantine, restore settings
 *     HOLD     another body may own the state, or come to own it: do nothing but let bystanders
 *              come back
 *
 * HOLD keeps the machine off its disks (frozen) and off the network (dropped), although processes
 * run again. It is set before the snapshot, so that the image holds it: on the new body it is true
 * from the first instruction until `go`. On the source the helper replaces it by RECOVER as soon as
 * the snapshot call returns, and sets it again before it says `given_up`. Between the return and
 * that store a death on the source would hold a machine that could recover. With a lease that is no
 * question: the kernel does not let a machine loose that wakes up from the image, so one that runs
 * in the state SNAPSHOT is the source. Without, a person can do it: `pmsm-freeze recover --force`.
 *
 * And if the helper does not die, but gets stuck? Then its lease ends (source/lease.c), the kernel
 * thaws, and the guard runs although the helper believes that everybody stands still. So it ends
 * the helper.
 *
 * The marker /run/pmsm/held says the same to `pmsm-freeze recover`, which the agent runs after a
 * crash of its own: it lies in memory (tmpfs), so it can be written while file systems are frozen,
 * travels in the image, and is gone after a reset, when nothing is frozen any more.
 */
enum guard_order { GUARD_IDLE, GUARD_RECOVER, GUARD_HOLD };

struct guard {
	/* Memory that both have. */
	struct guard_shared {
		_Atomic int order;
		struct state_cell state;
		_Atomic bool leased;	   /* the kernel has leases */
		_Atomic bool standing;	   /* processes stand still, for all the helper knows */
		struct settings settings;  /* of the attempt as a whole */
		struct settings throttled; /* until the window begins */
		struct bystanders
		    bystanders; /* from the last round until services have caught up */
	} * shared;
	int pipe_fd; /* its closing wakes the guard */
	pid_t pid;
};

/* What both have. Done by guard_start(), unless it is needed before. */
int guard_share(struct guard *guard);
/* Forks the guard. Call it before any thread, any connection and /dev/snapshot. */
int guard_start(struct guard *guard);
void guard_set(struct guard *guard, enum guard_order order);
/* One that has died guards nothing: then nothing may come to stand still. */
bool guard_is_alive(const struct guard *guard);
/* Nothing is left to guard: ends it and waits for it. */
void guard_end(struct guard *guard);

/* Thaws all file systems, deletes the quarantine and the marker, and says what it did. */
int recover_machine(void);
bool marker_exists(void);

/*
 * A machine makes one attempt at a time, and nobody else may write who owns its disk meanwhile: an
 * agent that is started anew, say. The lock goes with the last process of the attempt, the deputy
 * included. The descriptor, -EWOULDBLOCK if another attempt is under way, or -errno.
 */
int attempt_lock(void);
bool attempt_is_under_way(void);

#endif
