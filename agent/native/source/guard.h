/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_GUARD_H
#define PMSM_GUARD_H

#include <sys/types.h>

#include "source/bystanders.h"
#include "source/settings.h"

/*
 * What happens if the helper dies in the window?
 *
 * The kernel closes its /dev/snapshot, and that frees the image and thaws every process: the stock
 * kernel leaves no choice. But file systems stay frozen, and the quarantine stays in force; neither
 * belongs to a process. So a second process, the guard, is forked before the window. It is frozen
 * with all others, and wakes by that very thaw. It then finds the end of its pipe (only the helper
 * had the other end) and acts by the order that the helper left in shared memory:
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
 * that store a death on the source would hold a machine that could recover; nothing else runs
 * then, and a person can still do it: `pmsm-freeze recover --force`.
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
		struct settings settings;  /* of the attempt as a whole */
		struct settings throttled; /* until the window begins */
		struct bystanders
		    bystanders; /* from the last round until services have caught up */
	} * shared;
	int pipe_fd; /* its closing wakes the guard */
	pid_t pid;
};

/* Forks the guard. Call it before any thread, any connection and /dev/snapshot. */
int guard_start(struct guard *guard);
void guard_set(struct guard *guard, enum guard_order order);
/* Nothing is left to guard: ends it and waits for it. */
void guard_end(struct guard *guard);

/* Thaws all file systems, deletes the quarantine and the marker, and says what it did. */
int recover_machine(void);
bool marker_exists(void);

#endif
