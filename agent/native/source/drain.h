/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_DRAIN_H
#define PMSM_DRAIN_H

#include "common/base.h"

/*
 * THEORY: what was begun is finished before the machine stands still.
 *
 * When the quarantine is closed no new request comes in, but services may be in the middle of one.
 * What is left of it is done after the jump if they are frozen then, and the client waits for the
 * window and for that: on a body that has none of the service's code and data in its caches yet, so
 * that it takes several times as long (under emulation 100 to 200 ms for 15). Done before, the
 * answer lies in the socket, travels with the image, and leaves before processes are thawed
 * (nudge_send()). The work is the same, only its place is another one.
 *
 * It ends when nobody has wanted a processor for a while, which an idle machine shows at once, or
 * with its limit: of who computes all the time one can expect nothing, and who changes memory does
 * so meanwhile. A crowd that is in the middle of something shares the processors, so its limit
 * grows with the run queue that is found in the beginning; but of those who come to their end in
 * it, half have done so long before.
 */
#define DRAIN_USUAL_MS 24
#define DRAIN_CROWD    6 /* for each processor */
#define DRAIN_EACH_MS  16
#define DRAIN_MOST_MS  240
#define DRAIN_HALF_MS  56
#define DRAIN_LOOK_MS  2
/* A commit waits for its disk in between. */
#define DRAIN_IDLE_MS 8

void drain(void);

/* How long it may last, if so many threads want so many processors in the beginning. */
unsigned int drain_limit_ms(unsigned int wanted_by, unsigned int processors);

/* What the looks have shown. */
struct draining {
	unsigned int limit_ms;
	unsigned int lasted_ms;
	unsigned int idle_ms;	   /* since somebody was seen */
	unsigned int first, least; /* who wanted a processor: in the beginning, and at fewest */
};

/* Whether it is over. On numbers alone. */
bool drain_is_over(const struct draining *draining);

#endif
