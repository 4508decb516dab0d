/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_PACING_H
#define PMSM_PACING_H

#include "common/base.h"

/*
 * THEORY: a round has a least that it gets.
 *
 * Niceness says who waits, not for how long. Beside eight busy threads on one processor, one of
 * niceness 10 gets 1 % of it: a round of a few seconds takes minutes, and what changed meanwhile is
 * sent by the next one. So a round that gets less than half of what it may take at most
 * (source/processors.h) becomes less nice, step by step, and nicer again when it has more than
 * that. One that waits for its link and not for a processor gets less nice, too; since it uses less
 * than its least, hardly anybody waits for it.
 */
#define NICE_ROUND 10
/* Of rounds that got too little, at most. */
#define NICE_ROUND_LEAST -10
/*
 * Of the last round. Whoever would run beside it only makes it longer, and is not served either:
 * each of its own turns brings more that has changed.
 */
#define NICE_SPRINT -20

struct pacing {
	int nice; /* of rounds, but for a sprint */
	unsigned int least_permille;
	uint64_t looked_ns, used_ns;
};

void pacing_init(struct pacing *pacing);

/* A round begins. Threads that are made from now on inherit its niceness. */
void pacing_round(struct pacing *pacing, bool sprint);

/* To be called while a round goes on; looks once a second. */
void pacing_look(struct pacing *pacing);

/* The next niceness of what is as nice as this and has got so much. Permilles of one processor. */
int pacing_next(int nice, uint64_t used_permille, unsigned int least_permille);

#endif
