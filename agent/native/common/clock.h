/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_CLOCK_H
#define PMSM_CLOCK_H

#include "common/base.h"

uint64_t clock_ns(void);
uint64_t clock_realtime_ns(void);
uint64_t clock_deadline_ms(uint64_t ms);

/* Milliseconds until the deadline for poll(), rounded up, never negative. */
int clock_left_ms(uint64_t deadline_ns);

/* Processor time of the calling thread. */
uint64_t clock_thread_ns(void);
/* The same of all threads. */
uint64_t clock_process_ns(void);

void clock_sleep_ms(unsigned int ms);

/* The raw cycle counter, which neither hibernation nor the jump resets. */
uint64_t clock_cycles(void);

/*
 * Frequency of the cycle counter. clock_calibrate_begin() notes a point, clock_cycles_khz()
 * compares it with now: the longer between both, the better. Within the first 20 ms it waits.
 */
void clock_calibrate_begin(void);
uint64_t clock_cycles_khz(void);

#endif
