// SPDX-License-Identifier: GPL-2.0-only
/* The way of page frames ahead of an image, in rounds, and what decides how many there are. */
#include "source/processors.h"
#include "transfer.h"

static struct memory *ours, *theirs;

static void fill_page(uint8_t *page, unsigned int seed)
{
	for (size_t i = 0; i < PAGE_BYTES; i++)
		page[i] = seed % 3 ? (uint8_t)rand_r(&seed) : (uint8_t)(seed + i / 64);
}

static void make_memory(void)
{
	ours = calloc(1, sizeof(*ours));
	theirs = calloc(1, sizeof(*theirs));
	if (!ours || !theirs)
		abort();
	/* A third is zero, in runs. */
	for (unsigned int i = 0; i < MEMORY_FRAMES; i++)
		if (i / 40 % 3)
			fill_page(ours->page[i], i);
}

static struct transfer *begin_ahead(unsigned int threads)
{
	struct transfer *t = begin(threads);

	memset(ours->known, 0, sizeof(ours->known));
	memset(theirs, 0, sizeof(*theirs));
	ours->refuse_errno = 0;
	t->from.memory = ours;
	t->to.memory = theirs;
	t->loader.takes_pages = true;
	return t;
}

/* One round, until the loader has all of it; false if that takes 10 s. */
static bool make_round(struct transfer *t, unsigned int codec)
{
	uint64_t deadline = clock_deadline_ms(10000);
	struct round *round = &t->pipeline.round;

	round->number++;
	round->next_pfn = 0;
	round->looked = round->changed = round->pages = 0;
	round->begin_ns = clock_ns();
	round->begin_cpu_ns = clock_process_ns();
	run_pipeline(t, &round_cargo, codec);
	/* As the helper does: a sender that is stopped before it knows that it is done breaks off.
	 */
	while (!t->loader.failed && !t->pipeline.error &&
	       (!t->pipeline.sent_all || loader_rounds(&t->loader) < round->number) &&
	       clock_left_ms(deadline) > 0)
		clock_sleep_ms(1);
	pipeline_stop(&t->pipeline);
	return t->pipeline.sent_all && loader_rounds(&t->loader) == round->number;
}

static bool same_memory(void)
{
	for (size_t i = 0; i < MEMORY_FRAMES; i++)
		if (!theirs->known[i] || memcmp(ours->page[i], theirs->page[i], PAGE_BYTES) != 0)
			return false;
	return true;
}

static void test_rounds(unsigned int codec, unsigned int threads)
{
	struct transfer *t = begin_ahead(threads);

	run_loader(t, 2000);
	CHECK(make_round(t, codec) && same_memory(), "%s, %u threads: all memory goes over",
	      codec_by_id(codec)->name, threads);
	CHECK(t->pipeline.round.looked == MEMORY_FRAMES &&
		  t->loader.ahead_bytes == t->pipeline.round.ahead_bytes,
	      "both sides count the same");
	for (unsigned int i = 0; i < 300; i++)
		fill_page(ours->page[i * 7], 3000 + 1000 * codec + i);
	memset(ours->page[5], 0, PAGE_BYTES);
	memset(ours->page[50], 0, PAGE_BYTES);
	CHECK(make_round(t, codec) && same_memory(), "what changed goes over in the next round");
	CHECK(t->pipeline.round.changed >= 300 && t->pipeline.round.changed <= 302 &&
		  t->pipeline.round.pages <= t->pipeline.round.changed,
	      "and nothing else: %llu frames, %llu pages",
	      (unsigned long long)t->pipeline.round.changed,
	      (unsigned long long)t->pipeline.round.pages);
	CHECK(make_round(t, codec) && t->pipeline.round.changed == 0, "a round may be empty");
	run_pipeline(t, &image_cargo, codec);
	CHECK(wait_loader(t) && t->loader.finished &&
		  memcmp(source_image, target_image, IMAGE_BYTES) == 0,
	      "the image follows");
	pipeline_stop(&t->pipeline);
	CHECK(t->pipeline.chain == t->loader.chain && t->pipeline.chunks == t->loader.chunks &&
		  t->loader.raw_bytes == IMAGE_BYTES,
	      "both sides have counted and digested all of it");
	end(t);
}

/* Rounds begin with calls that give nothing, or the kernel does not know how. */
static void test_tracking(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct transfer *t = begin_ahead(1);

		ours->compares_all = i == 0;
		ours->walk_calls = 3;
		run_loader(t, 2000);
		CHECK(make_round(t, PMSM_CODEC_NONE) && same_memory(), "all memory, %s",
		      i ? "after a walk" : "with a kernel that compares all");
		fill_page(ours->page[77], 4711 + i);
		CHECK(make_round(t, PMSM_CODEC_NONE) && same_memory() &&
			  t->pipeline.round.changed == 1,
		      "and what changed");
		CHECK(t->pipeline.round.looked == MEMORY_FRAMES, "all frames are counted");
		ours->compares_all = false;
		ours->walk_calls = 0;
		end(t);
	}
}

static void test_rate(void)
{
	struct transfer *t = begin_ahead(1);
	uint64_t begin_ns = clock_ns(), bytes;

	t->pipeline.bytes_per_s = 20000000;
	run_loader(t, 2000);
	CHECK(make_round(t, PMSM_CODEC_NONE), "a round with a limit ends");
	bytes = t->out.tx_bytes;
	CHECK(clock_ns() - begin_ns > bytes * 45, "and keeps to it: %llu bytes in %llu ms",
	      (unsigned long long)bytes, (unsigned long long)((clock_ns() - begin_ns) / NS_PER_MS));
	end(t);
}

static void test_share(void)
{
	struct transfer *t = begin_ahead(1);
	uint64_t wall, cpu;
	bool made;

	t->pipeline.round.share_permille = 200;
	run_loader(t, 2000);
	made = make_round(t, PMSM_CODEC_ZSTD);
	wall = clock_ns() - t->pipeline.round.begin_ns;
	cpu = clock_process_ns() - t->pipeline.round.begin_cpu_ns;
	CHECK(made && cpu * 10 <= wall * 3, "a round keeps to its share: %llu of %llu us",
	      (unsigned long long)cpu / 1000, (unsigned long long)wall / 1000);
	end(t);
}

static unsigned int left_of(const char *processors, int *first)
{
	cpu_set_t set;
	unsigned int left;

	CPU_ZERO(&set);
	for (int cpu = 0; processors[cpu]; cpu++)
		if (processors[cpu] == 'x')
			CPU_SET(cpu, &set);
	left = processors_last_quarter(&set);
	*first = 0;
	while (*first < CPU_SETSIZE && !CPU_ISSET(*first, &set))
		++*first;
	return left == (unsigned int)CPU_COUNT(&set) ? left : 0;
}

static void test_processors(void)
{
	static const struct {
		const char *all;
		unsigned int left;
		int first;
	} cases[] = {{"x", 1, 0},	 {"xx", 1, 1},	    {"xxxx", 1, 3},
		     {"xxxxxxxx", 2, 6}, {"..x.x..", 1, 4}, {"x.x.x.x.x.x.x.x.", 2, 12}};
	static const unsigned int shares[][2] = {{1, 500}, {2, 200},   {3, 200},
						 {4, 500}, {16, 2000}, {64, 8000}};
	cpu_set_t original, before, now;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int first;
		unsigned int left = left_of(cases[i].all, &first);

		CHECK(left == cases[i].left && first == cases[i].first,
		      "of %s: %u processors from %d on", cases[i].all, left, first);
	}
	for (size_t i = 0; i < ARRAY_SIZE(shares); i++)
		CHECK(processors_share_of(shares[i][0]) == shares[i][1],
		      "%u processors: %u permille", shares[i][0],
		      processors_share_of(shares[i][0]));

	sched_getaffinity(0, sizeof(original), &original);
	CHECK(processors_confine(&before) && CPU_EQUAL(&before, &original), "it tells what it was");
	sched_getaffinity(0, sizeof(now), &now);
	CHECK(CPU_COUNT(&now) == (CPU_COUNT(&original) < 8 ? 1 : CPU_COUNT(&original) / 4),
	      "%d of %d processors are left", CPU_COUNT(&now), CPU_COUNT(&original));
	processors_restore(&before);
	sched_getaffinity(0, sizeof(now), &now);
	CHECK(CPU_EQUAL(&now, &original), "and all of them again");
}

static void test_refusals(void)
{
	struct transfer *t = begin_ahead(1);

	ours->refuse_errno = ESTALE;
	run_loader(t, 2000);
	CHECK(!make_round(t, PMSM_CODEC_LZ4) && t->pipeline.error == -ESTALE &&
		  t->pipeline.error_is_read,
	      "a kernel that gives nothing is known as one");
	end(t);
	t = begin_ahead(1);
	theirs->refuse_errno = ENOMEM;
	run_loader(t, 2000);
	CHECK(!make_round(t, PMSM_CODEC_LZ4) && t->loader.failure.code == PMSM_E_TARGET_MEMORY,
	      "a target without memory says so");
	end(t);
	t = begin_ahead(1);
	t->loader.takes_pages = false;
	run_loader(t, 2000);
	CHECK(!make_round(t, PMSM_CODEC_LZ4) && t->loader.failure.code == PMSM_E_PROTOCOL_ERROR,
	      "frames for the engine full are refused");
	end(t);
}

enum frames_fault {
	FRAMES_GOOD,
	FRAMES_NONE,
	FRAMES_SIZE,
	FRAMES_MANY_PAGES,
	FRAMES_SPARE_PAGE,
	FRAMES_UNKNOWN,
	FRAMES_HUGE,
	FRAMES_AFTER_IMAGE,
	FRAMES_ROUND,
	FRAMES_CHAIN,
	FRAMES_FAULTS
};

static const struct {
	const char *name;
	uint16_t code;
} frames_faults[FRAMES_FAULTS] = {
    [FRAMES_GOOD] = {"nothing", PMSM_E_NONE},
    [FRAMES_NONE] = {"no frame", PMSM_E_PROTOCOL_ERROR},
    [FRAMES_SIZE] = {"size that does not fit the counts", PMSM_E_PROTOCOL_ERROR},
    [FRAMES_MANY_PAGES] = {"more pages than frames", PMSM_E_PROTOCOL_ERROR},
    [FRAMES_SPARE_PAGE] = {"a page for a frame that is zero", PMSM_E_IMAGE_REJECTED},
    [FRAMES_UNKNOWN] = {"a frame that is no memory", PMSM_E_IMAGE_REJECTED},
    [FRAMES_HUGE] = {"counts that overflow", PMSM_E_PROTOCOL_ERROR},
    [FRAMES_AFTER_IMAGE] = {"frames after the image began", PMSM_E_PROTOCOL_ERROR},
    [FRAMES_ROUND] = {"number of the round", PMSM_E_DIGEST_MISMATCH},
    [FRAMES_CHAIN] = {"chain of the round", PMSM_E_DIGEST_MISMATCH},
};

/* One message of two frames, one of them zero, with one thing wrong; its digest. */
static uint64_t send_frames(struct transfer *t, enum frames_fault fault)
{
	static uint8_t payload[sizeof(struct pmsm_msg_pages) + 2 * PAGE_BYTES + 64];
	struct pmsm_msg_pages fixed = {.frames = 2, .pages = 1};
	uint64_t frames[3] = {17, 18 | PMSM_FRAME_ZERO, 19 | PMSM_FRAME_ZERO};
	size_t bytes;
	uint64_t digest;

	if (fault == FRAMES_NONE)
		fixed.frames = 0;
	if (fault == FRAMES_MANY_PAGES)
		fixed.frames = 0, fixed.pages = 1;
	if (fault == FRAMES_SPARE_PAGE)
		frames[0] |= PMSM_FRAME_ZERO;
	if (fault == FRAMES_UNKNOWN)
		frames[0] = MEMORY_FRAMES;
	fixed.raw_bytes = fixed.pages * PAGE_BYTES + fixed.frames * 8;
	bytes = sizeof(fixed) + fixed.raw_bytes;
	if (fault == FRAMES_SIZE)
		fixed.raw_bytes += 8;
	if (fault == FRAMES_HUGE) {
		fixed.frames = 0x20000000u + 2; /* times 8 is 16 in 32 bits */
		fixed.pages = 1;
	}
	fill_page(payload + sizeof(fixed), 1);
	memcpy(payload, &fixed, sizeof(fixed));
	memcpy(payload + sizeof(fixed) + fixed.pages * PAGE_BYTES, frames, 16);
	digest = digest_bytes(payload, bytes);
	link_send_payload(&t->out, PMSM_MSG_PAGES, payload, bytes, digest, clock_deadline_ms(1000),
			  NULL);
	return digest;
}

static void send_image_page(struct transfer *t)
{
	uint8_t payload[sizeof(struct pmsm_msg_chunk) + PAGE_BYTES];
	struct pmsm_msg_chunk fixed = {.raw_bytes = PAGE_BYTES};

	memcpy(payload, &fixed, sizeof(fixed));
	memcpy(payload + sizeof(fixed), source_image, PAGE_BYTES);
	link_send_payload(&t->out, PMSM_MSG_CHUNK, payload, sizeof(payload),
			  digest_bytes(payload, sizeof(payload)), clock_deadline_ms(1000), NULL);
}

static void test_hostile(enum frames_fault fault)
{
	struct transfer *t = begin_ahead(1);
	struct pmsm_msg_round_end round = {.number = 1, .chunks = 1};
	uint64_t deadline = clock_deadline_ms(3000);

	run_loader(t, 1000);
	if (fault == FRAMES_AFTER_IMAGE)
		send_image_page(t);
	round.chain = digest_chain(0, send_frames(t, fault));
	round.number += fault == FRAMES_ROUND;
	round.chain += fault == FRAMES_CHAIN;
	link_send(&t->out, PMSM_MSG_ROUND_END, &round, NULL, 0, deadline);
	while (!t->loader.failed && loader_rounds(&t->loader) == 0 && clock_left_ms(deadline) > 0)
		clock_sleep_ms(1);
	CHECK(t->loader.failure.code == frames_faults[fault].code &&
		  (loader_rounds(&t->loader) == 1) == (fault == FRAMES_GOOD),
	      "wrong %s: %s", frames_faults[fault].name, pmsm_error_name(t->loader.failure.code));
	loader_stop(&t->loader);
	/* A wrong end of the round may or may not find it loaded. */
	if (fault != FRAMES_ROUND && fault != FRAMES_CHAIN)
		CHECK(theirs->known[17] == (fault == FRAMES_GOOD || fault == FRAMES_SPARE_PAGE),
		      "only frames that are right reach the kernel");
	end(t);
}

static void test_prediction(void)
{
	struct round_result first = {.number = 1,
				     .frames = 100000,
				     .changed = 100000,
				     .pages = 60000,
				     .wire_bytes = 120000000,
				     .duration_ns = 2 * NS_PER_S,
				     .read_cpu_ns = NS_PER_S};
	struct round_result later = {.number = 2,
				     .frames = 100000,
				     .changed = 2000,
				     .pages = 2000,
				     .wire_bytes = 6000000,
				     .duration_ns = 200 * NS_PER_MS,
				     .read_cpu_ns = 100 * NS_PER_MS};
	struct round_result slow = later;
	uint32_t base = predict_downtime_ms(&later, &first, 100000000);

	slow.duration_ns = 8 * NS_PER_S;
	CHECK(base > 100 && base < 2000, "a small round promises a short window: %u ms", base);
	CHECK(predict_downtime_ms(&first, NULL, 100000000) > base + 1000, "a first round does not");
	CHECK(predict_downtime_ms(&later, &first, 10000000) > base + 400,
	      "a slow link makes it longer");
	CHECK(predict_downtime_ms(&slow, &first, 100000000) > base,
	      "so does a round that took longer than the one before: more will have changed");
	CHECK(predict_downtime_ms(&later, &first, 1) == UINT32_MAX ||
		  predict_downtime_ms(&later, &first, 1) > 3600000,
	      "a link that carries nothing is no good, and no overflow");
	later.wire_bytes = 4000000;
	CHECK(link_at_least(10000000, &later) == 20000000, "a round shows what the link carries");
	CHECK(link_at_least(30000000, &later) == 30000000, "and says nothing of what more it may");
	later.duration_ns = 0;
	CHECK(link_at_least(1, &later) == 1, "a round that took no time shows nothing");
}

/* A round at a pace, and the one before it, which took 10 s. */
struct pair {
	uint32_t number;
	enum pace pace;
	uint64_t pages, pages_before;
	unsigned int duration_s;
	bool throttle;
};

static enum round_verdict judge_pair(struct pair p, uint32_t predicted_ms, enum pace *next)
{
	const struct precopy_limits limits = {
	    .downtime_limit_ms = 1000, .rounds_max = 6, .throttle = p.throttle};
	struct round_result round = {.number = p.number,
				     .pace = p.pace,
				     .pages = p.pages,
				     .duration_ns = p.duration_s * UINT64_C(1000000000)};
	struct round_result before = {
	    .number = p.number - 1, .pages = p.pages_before, .duration_ns = UINT64_C(10000000000)};
	struct round_result *last = p.number > 1 ? &before : NULL;

	*next = next_pace(&round, last, predicted_ms, &limits);
	return judge_round(&round, last, predicted_ms, &limits);
}

static enum round_verdict judge(uint32_t number, uint64_t pages, uint64_t pages_before,
				uint32_t predicted_ms)
{
	enum pace next;

	return judge_pair((struct pair){number, PACE_FREE, pages, pages_before, 10, false},
			  predicted_ms, &next);
}

static enum round_verdict judge_throttled(uint32_t number, uint32_t predicted_ms)
{
	enum pace next;

	return judge_pair((struct pair){number, PACE_FREE, 5000, 5000, 10, true}, predicted_ms,
			  &next);
}

static enum round_verdict judge_sprint(uint32_t predicted_ms, uint64_t pages, unsigned int s)
{
	enum pace next;

	return judge_pair((struct pair){3, PACE_SPRINT, pages, 1000, s, false}, predicted_ms,
			  &next);
}

static void test_pace(void)
{
	enum pace next;
	enum round_verdict verdict;

	verdict = judge_pair((struct pair){1, PACE_GENTLE, 60000, 0, 10, false}, 5000, &next);
	CHECK(verdict == ROUND_AGAIN && next == PACE_GENTLE, "what follows the first is gentle");
	verdict = judge_pair((struct pair){2, PACE_GENTLE, 5000, 60000, 10, false}, 900, &next);
	CHECK(verdict == ROUND_AGAIN && next == PACE_GENTLE, "and stays so while that is enough");
	verdict = judge_pair((struct pair){2, PACE_GENTLE, 60000, 60000, 10, false}, 1100, &next);
	CHECK(verdict == ROUND_AGAIN && next == PACE_CONFINED,
	      "one that does not meet the limit is followed by one that takes more");
	verdict = judge_pair((struct pair){3, PACE_CONFINED, 60000, 60000, 10, false}, 1100, &next);
	CHECK(verdict == ROUND_AGAIN && next == PACE_FREE, "and that by one that takes all");
	verdict = judge_pair((struct pair){4, PACE_FREE, 60000, 60000, 10, false}, 1100, &next);
	CHECK(verdict == ROUND_SPRINT, "if it gains nothing either, the sprint decides");
	verdict = judge_pair((struct pair){3, PACE_GENTLE, 60000, 60000, 10, true}, 1100, &next);
	CHECK(verdict == ROUND_SLOWER && next == PACE_CONFINED,
	      "where services may be slowed down both happens");
	verdict = judge_pair((struct pair){4, PACE_SPRINT, 60000, 60000, 10, true}, 1100, &next);
	CHECK(verdict == ROUND_SLOWER && next == PACE_FREE,
	      "also when a sprint shows that it is needed, and the next round is none");
	verdict = judge_pair((struct pair){4, PACE_SPRINT, 50000, 60000, 10, true}, 1100, &next);
	CHECK(verdict == ROUND_SPRINT, "unless it helped");
	verdict = judge_pair((struct pair){5, PACE_SPRINT, 60000, 60000, 10, true}, 1100, &next);
	CHECK(verdict == ROUND_HOPELESS, "or there is no time left to see what it gains");
}

static void test_judgement(void)
{
	CHECK(judge(1, 60000, 0, 500) == ROUND_AGAIN, "the first round says nothing of changes");
	CHECK(judge(2, 5000, 60000, 900) == ROUND_AGAIN, "a round that gains is worth another");
	CHECK(judge(3, 4900, 5000, 900) == ROUND_SPRINT, "one that gains little is not");
	CHECK(judge(3, 4900, 5000, 1100) == ROUND_AGAIN, "unless the limit is not met yet");
	CHECK(judge(3, 5000, 5000, 1100) == ROUND_SPRINT,
	      "a round that sends no less than the last one is the last but one");
	CHECK(judge(5, 100, 5000, 1100) == ROUND_SPRINT, "so is the last but one that is allowed");
	CHECK(judge(2, 0, 0, 400) == ROUND_SPRINT, "and any of an idle machine");
	CHECK(judge_throttled(1, 1100) == ROUND_AGAIN && judge_throttled(2, 1100) == ROUND_SLOWER &&
		  judge_throttled(4, 1100) == ROUND_SLOWER &&
		  judge_throttled(5, 1100) == ROUND_SPRINT &&
		  judge_throttled(2, 900) == ROUND_SPRINT,
	      "services are slowed down only if that is allowed and needed");
	CHECK(judge_sprint(1000, 10, 10) == ROUND_ENOUGH,
	      "after the sprint the prediction decides");
	CHECK(judge_sprint(1001, 999, 10) == ROUND_SPRINT &&
		  judge_sprint(1001, 1000, 10) == ROUND_HOPELESS,
	      "but as long as it helps there is another one");
	CHECK(judge_sprint(1001, 1000, 7) == ROUND_SPRINT &&
		  judge_sprint(1001, 1000, 8) == ROUND_HOPELESS,
	      "also if it took less time, so that less has changed meanwhile");
	CHECK(judge(6, 100, 5000, 1000) == ROUND_ENOUGH &&
		  judge(6, 100, 5000, 1001) == ROUND_HOPELESS,
	      "as after the last round that is allowed");
	CHECK(copies_max(1000, UINT64_C(1) << 30) == 2 * 1000 + 4096 &&
		  copies_max(1000, 8192000) == 1000 && copies_max(0, 0) == 1,
	      "room for copies: several times what changed, never more than half of what is free");
}

int main(void)
{
	make_image();
	make_memory();
	for (unsigned int codec = 0; codec <= PMSM_CODEC_ZSTD; codec++)
		test_rounds(codec, 1 + codec);
	test_tracking();
	test_rate();
	test_share();
	test_processors();
	test_refusals();
	for (int fault = 0; fault < FRAMES_FAULTS; fault++)
		test_hostile((enum frames_fault)fault);
	test_prediction();
	test_judgement();
	test_pace();
	free(ours);
	free(theirs);
	free(source_image);
	free(target_image);
	return test_end();
}
