// SPDX-License-Identifier: GPL-2.0-only
#include "source/precopy.h"

#include <errno.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/facts.h"
#include "common/log.h"
#include "source/attempt.h"
#include "source/faults.h"
#include "source/pacing.h"
#include "source/processors.h"
#include "source/reclaim.h"
#include "source/vacate.h"
#include "source/watch.h"

#define TELL_MS		 1000
#define RECLAIM_LIMIT_MS 2000
#define VACATE_LIMIT_MS	 5000

/*
 * What the window costs whatever the amount of memory: freezing, devices off and on twice, the
 * jump, the hand-off. Measured with virtio devices under software emulation
 * (docs/results/delta.md); a NIC that has to negotiate its link takes longer, and the source waits
 * for it.
 */
#define FIXED_MS 400
/*
 * For every frame the window compares, scans, and sends and reads an entry of a list: together
 * about what a round takes to look at it, which copies it first.
 */
#define LOOKS_IN_WINDOW 1
/* A page of the image costs more than one of a round: copied, read, and loaded, all in turn. */
#define PAGE_COST_FACTOR 2

/*
 * In the sprint everybody else waits for the processors, in the window for the whole machine. In
 * between they have them for so long, so that what was begun before the sprint is answered before
 * the window and does not have to wait for the sum: longer if more want a processor than there are,
 * since each then waits for the others' turns, too. It costs the pages that change meanwhile.
 */
#define BREATH_MS      30
#define BREATH_MOST_MS 150
#define BREATH_STEP_MS 10

#define COPIES_SLACK 4096
/* A round that rests looks up this often. */
#define REST_MS 20

uint32_t predict_downtime_ms(const struct round_result *round, const struct round_result *before,
			     uint64_t link_bytes_per_s)
{
	double pages = (double)round->pages;
	double bytes_per_page = PAGE_BYTES, ms;

	if (round->pages > 0)
		bytes_per_page = (double)round->wire_bytes / (double)round->pages;
	/*
	 * These pages changed while the round before went on. If this one took longer, more will
	 * have changed when it is over.
	 */
	if (before && before->duration_ns && round->duration_ns > before->duration_ns)
		pages *= (double)round->duration_ns / (double)before->duration_ns;
	ms = FIXED_MS + LOOKS_IN_WINDOW * (double)round->read_cpu_ns / (double)NS_PER_MS;
	if (link_bytes_per_s)
		ms += PAGE_COST_FACTOR * pages * bytes_per_page * 1000 / (double)link_bytes_per_s;
	return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

uint64_t link_at_least(uint64_t measured_bytes_per_s, const struct round_result *round)
{
	double seconds = (double)round->duration_ns / (double)NS_PER_S;
	double carried = seconds > 0 ? (double)round->wire_bytes / seconds : 0;

	return carried > (double)measured_bytes_per_s ? (uint64_t)carried : measured_bytes_per_s;
}

/* What the first sprint sends had changed during a round that took its time. */
static bool sprint_helped(const struct round_result *round, const struct round_result *before)
{
	return before &&
	       (round->pages < before->pages || round->duration_ns < before->duration_ns / 4 * 3);
}

enum round_verdict judge_round(const struct round_result *round, const struct round_result *before,
			       uint32_t predicted_ms, const struct precopy_limits *limits)
{
	const bool good = predicted_ms <= limits->downtime_limit_ms;
	const bool sprint = round->pace == PACE_SPRINT;
	bool worthwhile = true;

	if (good && sprint)
		return ROUND_ENOUGH;
	if (round->number >= limits->rounds_max)
		return good ? ROUND_ENOUGH : ROUND_HOPELESS;
	if (sprint && sprint_helped(round, before))
		return ROUND_SPRINT;
	/* Only the second round tells what changes in the time of a round. */
	if (!good && limits->throttle && before && round->number + 1 < limits->rounds_max)
		return ROUND_SLOWER;
	if (sprint)
		return ROUND_HOPELESS;
	if (before && good)
		worthwhile = round->pages < before->pages / 4 * 3;
	else if (before)
		worthwhile = round->pace < PACE_FREE || round->pages < before->pages;
	return worthwhile && round->number + 1 < limits->rounds_max ? ROUND_AGAIN : ROUND_SPRINT;
}

enum pace next_pace(const struct round_result *round, const struct round_result *before,
		    uint32_t predicted_ms, const struct precopy_limits *limits)
{
	if (round->pace >= PACE_FREE)
		return PACE_FREE;
	/* As above: the first round says nothing of changes. */
	if (!before || predicted_ms <= limits->downtime_limit_ms)
		return round->pace;
	return round->pace + 1;
}

uint64_t copies_max(uint64_t changed, uint64_t available_bytes)
{
	uint64_t wanted = 2 * changed + COPIES_SLACK, half = available_bytes / PAGE_BYTES / 2;

	return max_u64(1, min_u64(wanted, half));
}

static void rest(struct pipeline *p)
{
	const struct round *round = &p->round;
	uint64_t used_ns, due_ns, now;

	if (!round->share_permille)
		return;
	used_ns = clock_process_ns() - round->begin_cpu_ns;
	due_ns = round->begin_ns + used_ns * 1000 / round->share_permille;
	while ((now = clock_ns()) < due_ns && !ring_is_stopped(&p->ring)) {
		clock_sleep_ms((unsigned int)min_u64(REST_MS, (due_ns - now) / NS_PER_MS + 1));
		p->moved++; /* on purpose, so this is no stall */
	}
}

static uint32_t live_flags(const struct round *round)
{
	uint32_t flags = PMSM_SNAPSHOT_LIVE_TRACK;

	if (round->number > 1)
		flags |= PMSM_SNAPSHOT_LIVE_CHANGED;
	if (round->split)
		flags |= PMSM_SNAPSHOT_LIVE_SPLIT;
	return flags & ~round->unknown_flags;
}

/* Goes on without the last of what this kernel may not know, if one was asked for. */
static bool ask_for_less(struct round *round)
{
	static const uint32_t dispensable[] = {PMSM_SNAPSHOT_LIVE_SPLIT, PMSM_SNAPSHOT_LIVE_TRACK};

	for (size_t i = 0; i < sizeof(dispensable) / sizeof(*dispensable); i++) {
		if (live_flags(round) & dispensable[i]) {
			round->unknown_flags |= dispensable[i];
			return true;
		}
	}
	return false;
}

/* Pages come first in the message, so that they lie as they are to be loaded. */
static int fill(struct pipeline *p, struct chunk *chunk)
{
	uint8_t *raw = chunk_raw(chunk);
	struct round *round = &p->round;
	struct pmsm_snapshot_live io;

	do {
		int error;

		if (round->next_pfn == PMSM_SNAPSHOT_LIVE_END)
			return 0;
		rest(p);
		io = (struct pmsm_snapshot_live){.flags = live_flags(round),
						 .next_pfn = round->next_pfn,
						 .frames = (uintptr_t)round->frames,
						 .data = (uintptr_t)raw,
						 .frames_max = FRAMES_PER_MESSAGE_MAX,
						 .data_max = p->ring.chunk_bytes / PAGE_BYTES - 1};
		error = p->snapshot->ops->live_read(p->snapshot, &io);
		if (error == -EINTR)
			continue;
		if (error == -EINVAL && ask_for_less(round))
			continue;
		if (error)
			return error;
		round->next_pfn = io.next_pfn;
		round->looked += io.saveable;
		round->changed += io.changed;
		round->pages += io.data_nr;
		p->moved++;
	} while (io.frames_nr == 0 && !ring_is_stopped(&p->ring));
	memcpy(raw + (size_t)io.data_nr * PAGE_BYTES, round->frames,
	       io.frames_nr * sizeof(*round->frames));
	chunk->place = frames_place(io.frames_nr, io.data_nr);
	chunk->raw_bytes =
	    (uint32_t)(io.data_nr * PAGE_BYTES + io.frames_nr * sizeof(*round->frames));
	return io.frames_nr > 0;
}

static int finish(struct pipeline *p, uint64_t deadline)
{
	struct pmsm_msg_round_end end = {
	    .number = p->round.number, .chunks = p->chunks, .chain = p->chain};

	return link_send(p->stream, PMSM_MSG_ROUND_END, &end, NULL, 0, deadline);
}

const struct cargo round_cargo = {.message = PMSM_MSG_PAGES,
				  .fill = fill,
				  .finish = finish,
				  .timeout_ms = PMSM_PHASE_TIMEOUT_MS_PRECOPY};

/* What of a round has been told, what its progress is measured against, and how it gets on. */
struct telling {
	uint64_t begin_ns, told_ns, frames_total, wire_before;
	struct pacing pacing;
};

static int tell(struct attempt *a, struct telling *t, enum pmsm_round_state state,
		uint32_t predicted_ms)
{
	struct round *round = &a->pipeline.round;
	uint64_t now = clock_ns();
	struct pmsm_msg_round m = {.number = round->number,
				   .state = (uint8_t)state,
				   .throttled = (uint8_t)min_u64(a->throttle.steps, UINT8_MAX),
				   .elapsed_ms = (uint32_t)((now - t->begin_ns) / NS_PER_MS),
				   .predicted_downtime_ms = predicted_ms,
				   .frames = round->looked,
				   .frames_total = t->frames_total,
				   .changed = round->changed,
				   .pages = round->pages,
				   .wire_bytes = a->stream.tx_bytes - t->wire_before};
	int error;

	t->told_ns = now;
	error = link_send(&a->control, PMSM_MSG_ROUND, &m, NULL, 0,
			  clock_deadline_ms(a->options.stall_ms));
	if (error)
		return failure_set(&a->failure, PMSM_E_ORCHESTRATOR_LOST, error, "control link: %s",
				   strerror(-error));
	return 0;
}

/* Until everything of the round is sent and loaded. */
static int watch_round(struct attempt *a, struct telling *t, uint64_t deadline)
{
	struct pipeline *p = &a->pipeline;
	struct movement last = {0};

	while (!p->sent_all || a->rounds_loaded < p->round.number) {
		if (watch_links(a, NULL) || check_pipeline(a) || check_stall(a, &last))
			return -1;
		if (told_to_end())
			return failure_set(&a->failure, PMSM_E_CANCELLED, 0,
					   "told to end by a signal");
		if (clock_left_ms(deadline) == 0)
			return failure_set(&a->failure, PMSM_E_TIMEOUT, ETIMEDOUT, "precopy");
		pacing_look(&t->pacing);
		if (clock_ns() - t->told_ns > TELL_MS * NS_PER_MS &&
		    tell(a, t, PMSM_ROUND_STATE_RUNNING, 0))
			return -1;
	}
	return 0;
}

static int run_round(struct attempt *a, struct telling *t, struct round_result *result,
		     enum pace pace, uint64_t deadline)
{
	struct pipeline *p = &a->pipeline;
	struct round *round = &p->round;
	cpu_set_t before;
	bool confined;
	int error;

	round->number++;
	round->next_pfn = 0;
	round->looked = round->changed = round->pages = 0;
	p->stall_for_test = fault_is_stall(a, PMSM_PHASE_PRECOPY);
	round->split = pace == PACE_SPRINT;
	round->share_permille = pace == PACE_GENTLE ? processors_share_permille() : 0;
	round->begin_cpu_ns = clock_process_ns();
	round->begin_ns = t->begin_ns = t->told_ns = clock_ns();
	t->wire_before = a->stream.tx_bytes;
	/* Threads inherit it; this one only watches, and may run anywhere. */
	confined = pace <= PACE_CONFINED && processors_confine(&before);
	error = pipeline_start(p, &round_cargo, a->codec, &a->snapshot, &a->stream);
	if (confined)
		processors_restore(&before);
	if (error)
		return failure_set(&a->failure, PMSM_E_INTERNAL, error, "cannot start threads: %s",
				   strerror(-error));
	error = watch_round(a, t, deadline);
	pipeline_stop(p);
	if (error)
		return error;
	*result = (struct round_result){.number = round->number,
					.pace = pace,
					.frames = round->looked,
					.changed = round->changed,
					.pages = round->pages,
					.wire_bytes = a->stream.tx_bytes - t->wire_before,
					.duration_ns = clock_ns() - t->begin_ns,
					.read_cpu_ns = p->read_ns};
	t->frames_total = result->frames;
	return 0;
}

static int hopeless(struct attempt *a, const struct round_result *round, uint32_t predicted_ms,
		    const struct precopy_limits *limits)
{
	return failure_set(
	    &a->failure, PMSM_E_NOT_CONVERGING, 0,
	    "round %u still sent %llu MB in %llu ms, so a downtime of %u ms is to be "
	    "expected, and %u ms are allowed",
	    round->number, (unsigned long long)(round->pages * PAGE_BYTES / 1000000),
	    (unsigned long long)(round->duration_ns / NS_PER_MS), predicted_ms,
	    limits->downtime_limit_ms);
}

/*
 * A sprint is followed by the window, as a rule. What changes memory is done before it, so that the
 * sprint takes the changes along: bystanders stand back, and the file systems that will be frozen
 * are looked for again (slabs of /proc: more than 1 MiB in the image). The agent is not told: what
 * it reads its program for then (9 MB, since its cache was given back) would go over in the sprint.
 */
static int before_sprint(struct attempt *a)
{
	bystanders_stand_back(&a->guard.shared->bystanders);
	return look_around(a);
}

static int make_rounds(struct attempt *a, const struct precopy_limits *limits)
{
	uint64_t deadline = clock_deadline_ms(PMSM_PHASE_TIMEOUT_MS_PRECOPY);
	struct telling t = {.frames_total = facts_used_bytes() / PAGE_BYTES};
	struct round_result round, before;
	struct precopy_limits now = *limits;
	enum round_verdict verdict = ROUND_AGAIN;
	enum pace pace = PACE_GENTLE;
	uint64_t link_bytes_per_s = a->measured.link_bytes_per_s;
	uint32_t predicted_ms;

	pacing_init(&t.pacing);
	do {
		struct round_result *last = a->pipeline.round.number ? &before : NULL;

		if (last)
			before = round;
		/* What is written back now does not change later, and SNAPSHOT_FREEZE syncs too. */
		if (last)
			sync();
		if (pace == PACE_SPRINT && before_sprint(a))
			return -1;
		pacing_round(&t.pacing, pace == PACE_SPRINT);
		/* In a sprint nobody gets to use much: that says nothing of who uses most. */
		if (now.throttle && pace != PACE_SPRINT)
			throttle_look(&a->throttle);
		if (run_round(a, &t, &round, pace, deadline))
			return -1;
		link_bytes_per_s = link_at_least(link_bytes_per_s, &round);
		predicted_ms = predict_downtime_ms(&round, last, link_bytes_per_s);
		if (tell(a, &t, PMSM_ROUND_STATE_COMPLETE, predicted_ms))
			return -1;
		verdict = judge_round(&round, last, predicted_ms, &now);
		if (verdict == ROUND_SLOWER && !throttle_step(&a->throttle)) {
			now.throttle = false;
			verdict = judge_round(&round, last, predicted_ms, &now);
		}
		if (verdict == ROUND_SLOWER && pace == PACE_SPRINT)
			bystanders_return(&a->guard.shared->bystanders);
		pace = verdict == ROUND_SPRINT ? PACE_SPRINT
					       : next_pace(&round, last, predicted_ms, &now);
		log_text("round %u: %llu of %llu frames changed, %llu pages, %llu ms, predicted "
			 "downtime %u ms",
			 round.number, (unsigned long long)round.changed,
			 (unsigned long long)round.frames, (unsigned long long)round.pages,
			 (unsigned long long)(round.duration_ns / NS_PER_MS), predicted_ms);
	} while (verdict == ROUND_AGAIN || verdict == ROUND_SLOWER || verdict == ROUND_SPRINT);
	if (verdict == ROUND_HOPELESS)
		return hopeless(a, &round, predicted_ms, limits);
	pipeline_wipe(&a->pipeline);
	a->predicted_ms = predicted_ms;
	a->copies_max = copies_max(round.changed, facts_available_bytes());
	return 0;
}

static int open_live(struct attempt *a)
{
	int error = a->snapshot.ops->open(&a->snapshot, SNAPSHOT_MODE_LIVE);

	if (!error)
		vacate_frames(&a->snapshot, a->occupied_pfn, a->occupied_end_pfn,
			      clock_deadline_ms(VACATE_LIMIT_MS));
	if (!error)
		error = a->snapshot.ops->live_begin(&a->snapshot);
	if (error == -ENOTTY)
		return failure_set(&a->failure, PMSM_E_ENGINE_UNAVAILABLE, error,
				   "the source's kernel cannot read memory ahead of the image");
	if (error)
		return failure_set(&a->failure, PMSM_E_HIBERNATION_UNAVAILABLE, error,
				   "/dev/snapshot: %s", strerror(-error));
	return 0;
}

static int say_precopied(struct attempt *a)
{
	struct pmsm_msg_precopied m = {.generation = a->options.id.generation,
				       .rounds = a->pipeline.round.number,
				       .predicted_downtime_ms = a->predicted_ms};
	int error;

	memcpy(m.attempt, a->options.id.attempt, ATTEMPT_BYTES);
	error = link_send(&a->control, PMSM_MSG_PRECOPIED, &m, NULL, 0,
			  clock_deadline_ms(a->options.stall_ms));
	if (error)
		return failure_set(&a->failure, PMSM_E_ORCHESTRATOR_LOST, error, "control link: %s",
				   strerror(-error));
	return 0;
}

/*
 * The next image leaves out what the target has already. Said before anything stands still: the
 * kernel takes memory for the rest now.
 */
static int arm_delta(struct attempt *a)
{
	struct pmsm_snapshot_delta delta = {.flags = PMSM_SNAPSHOT_DELTA_ARM,
					    .copies_max = a->copies_max};
	int error = a->snapshot.ops->delta(&a->snapshot, &delta);

	if (error)
		return failure_set(&a->failure, PMSM_E_SNAPSHOT_FAILED, error,
				   "the kernel takes no delta image: %s", strerror(-error));
	return 0;
}

static void breathe(void)
{
	uint64_t deadline = clock_deadline_ms(BREATH_MOST_MS);

	clock_sleep_ms(BREATH_MS);
	while (clock_left_ms(deadline) > 0 && processors_are_waited_for())
		clock_sleep_ms(BREATH_STEP_MS);
}

int precopy(struct attempt *a, const struct precopy_limits *limits)
{
	const struct niceness before = niceness_of(0);
	int error;

	edge_mark(a, PMSM_PHASE_PRECOPY, PMSM_EDGE_BEGIN);
	a->failure.phase = PMSM_PHASE_PRECOPY;
	sync();
	if (!a->options.keep_cache)
		reclaim_cache(clock_deadline_ms(RECLAIM_LIMIT_MS));
	a->pipeline.bytes_per_s = limits->bytes_per_s;
	throttle_begin(&a->throttle, THROTTLE_ROOT, &a->guard.shared->throttled);
	error = fault_strike(a, PMSM_PHASE_PRECOPY) || open_live(a) || make_rounds(a, limits);
	a->pipeline.bytes_per_s = 0;
	niceness_set(0, before);
	if (!error)
		error = arm_delta(a);
	if (!error)
		breathe();
	a->edges_wait = !error;
	edge_mark(a, PMSM_PHASE_PRECOPY, PMSM_EDGE_END);
	if (!error)
		error = say_precopied(a);
	if (!error)
		a->failure.phase = PMSM_PHASE_NONE;
	return error ? -1 : 0;
}
