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
	int group; /* NICE_NONE, too, if this kernel makes no such groups */
};

/*
 * Of a process, 0 for this one: of its threads, NICE_NONE if they differ or there is no such
 * process, and of its session's group.
 */
struct niceness niceness_of(int pid);

/*
 * For all threads of a process, and for its group; what is NICE_NONE stays as it is. A thread that
 * ends meanwhile needs none, and what may not be changed is left out.
 */
void niceness_set(int pid, struct niceness to);

#endif
