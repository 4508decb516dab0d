// SPDX-License-Identifier: GPL-2.0-only
#include "source/drain.h"

#include "common/clock.h"
#include "source/processors.h"

unsigned int drain_limit_ms(unsigned int wanted_by, unsigned int processors)
{
	uint64_t shared_ms = (uint64_t)DRAIN_EACH_MS * wanted_by / processors;

	if (wanted_by / processors < DRAIN_CROWD)
		return DRAIN_USUAL_MS;
	return shared_ms < DRAIN_MOST_MS ? (unsigned int)shared_ms : DRAIN_MOST_MS;
}

bool drain_gains(unsigned int lasted_ms, unsigned int first, unsigned int least)
{
	return lasted_ms < DRAIN_HALF_MS || least <= first / 2;
}

void drain(void)
{
	uint64_t begin_ns = clock_ns(), busy_ns = begin_ns, now;
	unsigned int first = processors_wanted_by(), least = first, wanted_by, lasted_ms;
	unsigned int limit_ms = drain_limit_ms(first, processors_online());

	do {
		clock_sleep_ms(DRAIN_LOOK_MS);
		now = clock_ns();
		lasted_ms = (unsigned int)((now - begin_ns) / NS_PER_MS);
		wanted_by = processors_wanted_by();
		if (wanted_by > 0)
			busy_ns = now;
		if (wanted_by < least)
			least = wanted_by;
	} while (now - busy_ns < DRAIN_IDLE_MS * NS_PER_MS && lasted_ms < limit_ms &&
		 drain_gains(lasted_ms, first, least));
}
