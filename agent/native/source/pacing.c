// SPDX-License-Identifier: GPL-2.0-only
#include "source/pacing.h"

#include "common/clock.h"
#include "common/log.h"
#include "source/niceness.h"
#include "source/processors.h"

#define LOOK_MS	  1000
#define NICE_STEP 5

void pacing_init(struct pacing *pacing)
{
	*pacing =
	    (struct pacing){.nice = NICE_ROUND, .least_permille = processors_share_permille() / 2};
}

static void be_as_nice_as(int nice)
{
	niceness_set(0, (struct niceness){.threads = nice, .group = nice});
}

void pacing_round(struct pacing *pacing, bool sprint)
{
	be_as_nice_as(sprint ? NICE_SPRINT : pacing->nice);
	/* A sprint is over before it can be looked at, and has no more to be given. */
	pacing->looked_ns = sprint ? 0 : clock_ns();
	pacing->used_ns = clock_process_ns();
}

int pacing_next(int nice, uint64_t used_permille, unsigned int least_permille)
{
	if (used_permille < least_permille)
		return nice - NICE_STEP > NICE_ROUND_LEAST ? nice - NICE_STEP : NICE_ROUND_LEAST;
	if (used_permille > 2 * (uint64_t)least_permille)
		return nice + NICE_STEP < NICE_ROUND ? nice + NICE_STEP : NICE_ROUND;
	return nice;
}

void pacing_look(struct pacing *pacing)
{
	uint64_t now = clock_ns(), elapsed_ns = now - pacing->looked_ns, used_ns, permille;
	int nice;

	if (!pacing->looked_ns || elapsed_ns < LOOK_MS * NS_PER_MS)
		return;
	used_ns = clock_process_ns();
	permille = (used_ns - pacing->used_ns) * 1000 / elapsed_ns;
	nice = pacing_next(pacing->nice, permille, pacing->least_permille);
	pacing->looked_ns = now;
	pacing->used_ns = used_ns;
	if (nice == pacing->nice)
		return;
	pacing->nice = nice;
	be_as_nice_as(nice);
	log_text("the round has %llu permille of a processor: niceness %d",
		 (unsigned long long)permille, nice);
}
