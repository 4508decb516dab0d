/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_PROCESSORS_H
#define PMSM_PROCESSORS_H

#include <sched.h>

#include "common/base.h"

/*
 * THEORY: what of the machine's processors the rounds may have.
 *
 * Niceness is not enough: a service that waits for its disk and its clients most of the time looks
 * for an idle processor whenever it has something to do, and is late if there is none. So two
 * limits hold, but for the last round, when little time counts most:
 *
 * - where: all threads of a round run on a quarter of the processors, one at least, so that the
 *   others stay as they were;
 * - how much: together they take half of these, an eighth of the machine, in small pieces with
 *   rests between (rest() in precopy.c). With two or three processors that is less, a fifth of
 *   one, since every service runs on that one, too. With a single one there is nothing to be kept
 *   free, and to be done soon is worth more.
 *
 * docs/decisions/0007-rounds-before-the-window.md has what was measured.
 */

/* Where the calling thread, and threads that it makes, may run: the last quarter of where it may
 * run now, one processor at least. Returns false, with nothing changed, if the kernel refuses. */
bool processors_confine(cpu_set_t *before);
void processors_restore(const cpu_set_t *before);

/* What all threads of a round together may use: 1000 is one processor. */
unsigned int processors_share_permille(void);
unsigned int processors_share_of(unsigned int processors);

/*
 * How many threads want a processor at this moment, or have one: the run queues of all. The calling
 * thread is not counted. 0 if the kernel does not say.
 */
unsigned int processors_wanted_by(void);
/* The same, by the text of /proc/loadavg. */
unsigned int processors_wanted_of(const char *loadavg);
/* Whether there are more of them than processors. */
bool processors_are_waited_for(void);
bool processors_fall_short(unsigned int wanted_by, unsigned int processors);

/* 1 at least. */
unsigned int processors_online(void);

/* The same on a set alone: how many are left. */
unsigned int processors_last_quarter(cpu_set_t *set);

#endif
