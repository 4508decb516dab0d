// SPDX-License-Identifier: GPL-2.0-only
#include "common/clock.h"

#include <cpuid.h>
#include <time.h>
#include <x86intrin.h>

static struct {
	uint64_t cycles;
	uint64_t raw_ns;
} calibration; /* written once, before any thread exists */

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t clock_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_realtime_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t clock_thread_ns(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t clock_process_ns(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t clock_deadline_ms(uint64_t ms)
{
	return clock_ns() + ms * NS_PER_MS;
}

int clock_left_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_ns();
	uint64_t left;

	if (now >= deadline_ns)
		return 0;
	left = (deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS;
	return left > 3600000 ? 3600000 : (int)left;
}

void clock_sleep_ms(unsigned int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&t, &t) < 0)
		;
}

uint64_t clock_cycles(void)
{
	return __rdtsc();
}

void clock_calibrate_begin(void)
{
	calibration.raw_ns = read_clock(CLOCK_MONOTONIC_RAW);
	calibration.cycles = clock_cycles();
}

/* Leaf 15h gives the exact ratio where the processor states its crystal; most emulators do not. */
static uint64_t cpuid_khz(void)
{
	unsigned int denominator, numerator, crystal, unused;

	if (!__get_cpuid_count(0x15, 0, &denominator, &numerator, &crystal, &unused))
		return 0;
	if (denominator == 0 || numerator == 0 || crystal == 0)
		return 0;
	return (uint64_t)crystal * numerator / denominator / 1000;
}

uint64_t clock_cycles_khz(void)
{
	uint64_t khz = cpuid_khz();
	uint64_t cycles, ns;

	if (khz != 0)
		return khz;
	if (calibration.raw_ns == 0)
		clock_calibrate_begin();
	for (;;) {
		ns = read_clock(CLOCK_MONOTONIC_RAW) - calibration.raw_ns;
		cycles = clock_cycles() - calibration.cycles;
		if (ns >= 20 * NS_PER_MS)
			break;
		clock_sleep_ms(5);
	}
	return (uint64_t)((double)cycles * 1e6 / (double)ns);
}
