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

bool drain_is_over(const struct draining *d)
{
	if (d->idle_ms >= DRAIN_IDLE_MS || d->lasted_ms >= d->limit_ms)
		return true;
	return d->lasted_ms >= DRAIN_HALF_MS && d->least > d->first / 2;
}

void drain(void)
{
	uint64_t begin_ns = clock_ns(), busy_ns = begin_ns;
	const unsigned int first = processors_wanted_by();
	struct draining d = {
	    .limit_ms = drain_limit_ms(first, processors_online()), .first = first, .least = first};

	do {
		unsigned int wanted_by;
		uint64_t now;

		clock_sleep_ms(DRAIN_LOOK_MS);
		now = clock_ns();
		wanted_by = processors_wanted_by();
		if (wanted_by > 0)
			busy_ns = now;
		if (wanted_by < d.least)
			d.least = wanted_by;
		d.lasted_ms = (unsigned int)((now - begin_ns) / NS_PER_MS);
		d.idle_ms = (unsigned int)((now - busy_ns) / NS_PER_MS);
	} while (!drain_is_over(&d));
}
