// SPDX-License-Identifier: GPL-2.0-only
#include "source/drain.h"

#include "common/clock.h"
#include "source/processors.h"

unsigned int drain_limit_ms(unsigned int wanted_by, unsigned int processors)
{
	uint64_t shared_ms = (uint64_t)DRAIN_EACH_MS * wanted_by / processors;

	if (shared_ms > DRAIN_MOST_MS)
		return DRAIN_MOST_MS;
	return shared_ms > DRAIN_LEAST_MS ? (unsigned int)shared_ms : DRAIN_LEAST_MS;
}

void drain(void)
{
	uint64_t begin_ns = clock_ns(), busy_ns = begin_ns, now;
	unsigned int wanted_by = processors_wanted_by();
	uint64_t limit_ns = drain_limit_ms(wanted_by, processors_online()) * NS_PER_MS;

	do {
		clock_sleep_ms(DRAIN_LOOK_MS);
		now = clock_ns();
		if (processors_wanted_by() > 0)
			busy_ns = now;
	} while (now - busy_ns < DRAIN_IDLE_MS * NS_PER_MS && now - begin_ns < limit_ns);
}
