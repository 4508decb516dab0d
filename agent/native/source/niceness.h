/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_NICENESS_H
#define PMSM_NICENESS_H

#include "common/base.h"

#define NICE_MOST 19
#define NICE_NONE INT32_MIN

/*
 * Where a kernel groups tasks by session (CONFIG_SCHED_AUTOGROUP, as Debian's own does), a thread's
 * niceness counts within its session only; between sessions the group's does: sched(7), "The
 * autogroup feature". So whoever is to give way, or to come first, needs both. Control groups with
 * a processor controller come before either, and are left as the administrator made them.
 */
struct niceness {
	int threads;
	int group; /* NICE_NONE: this kernel makes no such groups */
};

/* Of a process, 0 for this one: of its first thread, and of its session's group. */
struct niceness niceness_of(int pid);

/*
 * Makes the threads of a process that are as nice as `from` as nice as `to`, and its group.
 * What may not be changed, or ends meanwhile, is left out.
 */
void niceness_change(int pid, const struct niceness *from, const struct niceness *to);

/* All threads of this process, however nice each is, and its group unless that is NICE_NONE. */
void niceness_set_own(struct niceness to);

#endif
