// SPDX-License-Identifier: GPL-2.0-only
/* A round on a machine whose processors are all taken. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "source/drain.h"
#include "source/niceness.h"
#include "source/pacing.h"
#include "source/processors.h"
#include "test.h"

#define BUSY	   4
#define LIMIT_MS   15000
#define MEASURE_MS 1000
#define LEAST	   250

static _Atomic bool ended;
static _Atomic pid_t worker;

static void test_steps(void)
{
	static const struct {
		int nice, next;
		uint64_t used;
		const char *what;
	} cases[] = {
	    {10, 5, 20, "starved: less nice"},
	    {5, 0, 249, "still less than its least"},
	    {0, 0, 250, "its least is enough"},
	    {0, 0, 500, "so is the most"},
	    {0, 5, 501, "more than that: nicer"},
	    {10, 10, 1000, "never nicer than it began"},
	    {-8, NICE_ROUND_LEAST, 0, "never so little nice as a sprint"},
	    {NICE_ROUND_LEAST, NICE_ROUND_LEAST, 0, "and there it stays"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int next = pacing_next(cases[i].nice, cases[i].used, LEAST);

		CHECK(next == cases[i].next, "%s (%d to %d)", cases[i].what, cases[i].nice, next);
	}
}

static void test_waited_for(void)
{
	static const struct {
		const char *loadavg;
		unsigned int wanted_by;
		unsigned int processors;
		bool waited_for;
	} cases[] = {
	    {"0.00 0.01 0.05 1/64 123\n", 0, 1, false}, /* this thread alone */
	    {"9.00 9.01 9.05 2/64 123\n", 1, 1, false}, /* one on the processor afterwards */
	    {"0.00 0.01 0.05 3/64 123\n", 2, 1, true},
	    {"0.00 0.01 0.05 3/64 123\n", 2, 2, false},
	    {"0.00 0.01 0.05 4/64 123\n", 3, 2, true},
	    {"0.00 0.01 0.05 12/64 123\n", 11, 1, true},
	    {"0.00 0.01 0.05 0/64 123\n", 0, 1, false},
	    {"", 0, 1, false},
	    {"0.00 0.01", 0, 1, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int wanted_by = processors_wanted_of(cases[i].loadavg);

		CHECK(wanted_by == cases[i].wanted_by, "%u: %.23s", wanted_by, cases[i].loadavg);
		CHECK(processors_fall_short(wanted_by, cases[i].processors) == cases[i].waited_for,
		      "%u processors, %.23s", cases[i].processors, cases[i].loadavg);
	}
}

static bool over(unsigned int lasted_ms, unsigned int idle_ms, unsigned int first,
		 unsigned int least)
{
	const struct draining d = {.limit_ms = drain_limit_ms(first, 1),
				   .lasted_ms = lasted_ms,
				   .idle_ms = idle_ms,
				   .first = first,
				   .least = least};

	return drain_is_over(&d);
}

static void test_drain(void)
{
	uint64_t begin_ns = clock_ns(), lasted_ms;

	CHECK(drain_limit_ms(0, 1) == DRAIN_USUAL_MS, "nobody, as far as one can see");
	CHECK(drain_limit_ms(1, 1) == DRAIN_USUAL_MS, "one who computes all the time");
	CHECK(drain_limit_ms(5, 1) == DRAIN_USUAL_MS, "a few");
	CHECK(drain_limit_ms(64, 64) == DRAIN_USUAL_MS, "one a processor");
	CHECK(drain_limit_ms(10, 1) == 10 * DRAIN_EACH_MS, "ten share one");
	CHECK(drain_limit_ms(40, 4) == 10 * DRAIN_EACH_MS, "forty share four");
	CHECK(drain_limit_ms(1000, 1) == DRAIN_MOST_MS, "too many");
	CHECK(drain_limit_ms(UINT32_MAX, 1) == DRAIN_MOST_MS, "as many as can be");
	CHECK(!over(DRAIN_IDLE_MS, 0, 1, 1), "somebody is at work");
	CHECK(!over(DRAIN_IDLE_MS, DRAIN_IDLE_MS - 1, 1, 0), "nobody, but not for long");
	CHECK(over(DRAIN_IDLE_MS, DRAIN_IDLE_MS, 1, 0), "nobody for long enough");
	CHECK(over(DRAIN_USUAL_MS, 0, 1, 1), "the limit, whoever is at work");
	CHECK(!over(DRAIN_USUAL_MS, 0, 11, 8), "it is another one for a crowd");
	CHECK(!over(DRAIN_HALF_MS - 1, 0, 11, 11), "too soon to tell what that does");
	CHECK(!over(DRAIN_HALF_MS, 0, 11, 5), "half are through");
	CHECK(over(DRAIN_HALF_MS, 0, 11, 6), "they compute");
	CHECK(over(11 * DRAIN_EACH_MS, 0, 11, 1), "the crowd's limit");
	drain();
	lasted_ms = (clock_ns() - begin_ns) / NS_PER_MS;
	CHECK(lasted_ms >= DRAIN_IDLE_MS && lasted_ms < 10 * DRAIN_MOST_MS, "it ends after %llu ms",
	      (unsigned long long)lasted_ms);
}

static void *work(void *nothing)
{
	worker = (pid_t)syscall(SYS_gettid);
	while (!ended)
		;
	return nothing;
}

static uint64_t share_permille(void)
{
	uint64_t begin_ns = clock_ns(), used_ns = clock_process_ns();

	clock_sleep_ms(MEASURE_MS);
	return (clock_process_ns() - used_ns) * 1000 / (clock_ns() - begin_ns);
}

/* The first processor that this process may run on, for it and its children. */
static void share_one_processor(void)
{
	cpu_set_t set;
	int cpu = 0;

	sched_getaffinity(0, sizeof(set), &set);
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void test_starved(void)
{
	struct pacing pacing;
	uint64_t deadline = clock_deadline_ms(LIMIT_MS), before, after;
	pid_t busy[BUSY];
	pthread_t thread;

	share_one_processor();
	for (int i = 0; i < BUSY; i++) {
		busy[i] = fork();
		if (busy[i] == 0)
			for (alarm(2 * LIMIT_MS / 1000);;)
				;
	}
	pacing_init(&pacing);
	pacing.least_permille = LEAST;
	pacing_round(&pacing, false);
	pthread_create(&thread, NULL, work, NULL);
	before = share_permille();
	CHECK(before < LEAST, "niceness %d beside %d busy processes: %llu permille", NICE_ROUND,
	      BUSY, (unsigned long long)before);
	do {
		pacing_look(&pacing);
		after = share_permille();
	} while (clock_left_ms(deadline) > 0 && after < LEAST);
	CHECK(pacing.nice < NICE_ROUND && after >= LEAST, "niceness %d: %llu permille", pacing.nice,
	      (unsigned long long)after);
	CHECK(getpriority(PRIO_PROCESS, 0) == pacing.nice &&
		  getpriority(PRIO_PROCESS, (id_t)worker) == pacing.nice,
	      "all threads are equally nice");
	pacing_round(&pacing, true);
	CHECK(getpriority(PRIO_PROCESS, 0) == NICE_SPRINT, "a sprint is not nice");
	pacing_look(&pacing);
	pacing_round(&pacing, false);
	CHECK(getpriority(PRIO_PROCESS, 0) == pacing.nice, "the next round is as the one before");
	ended = true;
	pthread_join(thread, NULL);
	for (int i = 0; i < BUSY; i++) {
		kill(busy[i], SIGKILL);
		waitpid(busy[i], NULL, 0);
	}
}

int main(void)
{
	test_steps();
	test_waited_for();
	test_drain();
	if (geteuid() == 0) {
		/* The group of this session, which others are in, too. */
		const struct niceness before = niceness_of(0);

		test_starved();
		niceness_set(0, before);
	} else {
		SKIP("this user may not become less nice");
	}
	return test_end();
}
