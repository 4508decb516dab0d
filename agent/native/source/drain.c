// SPDX-License-Identifier: GPL-2.0-only
#include "source/drain.h"

#include "common/clock.h"
#include "source/processors.h"

bool drain_is_over(unsigned int lasted_ms, unsigned int idle_ms)
{
	return idle_ms >= DRAIN_IDLE_MS || lasted_ms >= DRAIN_MOST_MS;
}

void drain(void)
{
	uint64_t begin_ns = clock_ns(), busy_ns = begin_ns, now;

	do {
		clock_sleep_ms(DRAIN_LOOK_MS);
		now = clock_ns();
		if (processors_are_wanted())
			busy_ns = now;
	} while (!drain_is_over((unsigned int)((now - begin_ns) / NS_PER_MS),
				(unsigned int)((now - busy_ns) / NS_PER_MS)));
}
