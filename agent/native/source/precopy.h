/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_PRECOPY_H
#define PMSM_PRECOPY_H

#include "source/pipeline.h"

struct attempt;

/*
 * Memory goes ahead of the image, in rounds, while the machine works: the first round sends all of
 * it, each later one what has changed since (the kernel knows, by keyed digests; see
 * kernel-patches/abi/live-read.rst). What changes after the last round is in the image, so the
 * fewer pages a round sends, the shorter the window.
 *
 * Rounds are niced and begin gently. They go on while each sends clearly less than the one before,
 * since a shorter window is worth a second of copying; and as long as the prediction is above the
 * limit, each takes more of the machine than the one before, and goes on while that helps. Then
 * comes the sprint, and after it the prediction decides: within the limit the window may begin,
 * else the attempt ends with the source untouched, unless there is a service left that may be
 * slowed down: then rounds go on.
 */

/* What a round may take of the machine; see source/processors.h. */
enum pace {
	PACE_GENTLE,   /* a part of the time of a part of the processors */
	PACE_CONFINED, /* a part of the processors */
	PACE_FREE,     /* niced (source/pacing.h), no more */
	/* Without regard for the machine's own work: the less time it takes, the less changes. */
	PACE_SPRINT
};

/* One round, when it is over. */
struct round_result {
	uint32_t number;
	enum pace pace;
	uint64_t frames;  /* that would be saved */
	uint64_t changed; /* since the round before, zero pages included */
	uint64_t pages;	  /* of these, not zero: sent */
	uint64_t wire_bytes;
	uint64_t duration_ns;
	uint64_t read_cpu_ns; /* the reader's processor time: it has looked at every frame once */
};

/*
 * SLOWER: another round, after the noisiest service was slowed down; if none can be, judge again
 * without.
 * SPRINT: another round, the last one if the prediction is good then.
 */
enum round_verdict { ROUND_AGAIN, ROUND_SLOWER, ROUND_SPRINT, ROUND_ENOUGH, ROUND_HOPELESS };

struct precopy_limits {
	uint32_t downtime_limit_ms;
	uint32_t rounds_max;
	uint64_t bytes_per_s; /* 0: no limit */
	bool throttle;	      /* services may be slowed down (throttle.h) */
};

/* If the window began after this round; `before` is the round before it, or NULL. */
uint32_t predict_downtime_ms(const struct round_result *round, const struct round_result *before,
			     uint64_t link_bytes_per_s);

/* Measured once, before the rounds, maybe while something else was going on: what a round has sent
 * is proof of as much. */
uint64_t link_at_least(uint64_t measured_bytes_per_s, const struct round_result *round);

enum round_verdict judge_round(const struct round_result *round, const struct round_result *before,
			       uint32_t predicted_ms, const struct precopy_limits *limits);

/* Of the next round, unless it is a sprint. */
enum pace next_pace(const struct round_result *round, const struct round_result *before,
		    uint32_t predicted_ms, const struct precopy_limits *limits);

/* The frames that the kernel gives in a round, in chunks; then `round_end`. */
extern const struct cargo round_cargo;

/* Makes the rounds. 0: the target has loaded them, and the window may begin. */
int precopy(struct attempt *a, const struct precopy_limits *limits);

/* Copies that the kernel shall set aside for what changes after the last round. */
uint64_t copies_max(uint64_t changed, uint64_t available_bytes);

#endif
