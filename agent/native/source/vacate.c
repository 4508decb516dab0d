// SPDX-License-Identifier: GPL-2.0-only
#include "source/vacate.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "common/clock.h"
#include "common/facts.h"
#include "common/log.h"

/* The standby takes up no more than one part in so many of all memory, and of what is available. */
#define TOTAL_SHARE	4
#define AVAILABLE_SHARE 2

#define NICE_LEAST 19

bool vacate_is_wise(uint64_t occupied_bytes, uint64_t total_bytes, uint64_t available_bytes)
{
	return occupied_bytes > 0 && occupied_bytes <= total_bytes / TOTAL_SHARE &&
	       occupied_bytes <= available_bytes / AVAILABLE_SHARE;
}

void vacate_frames(struct snapshot_device *device, uint64_t begin_pfn, uint64_t end_pfn,
		   uint64_t deadline_ns)
{
	struct pmsm_snapshot_vacate io = {.next_pfn = begin_pfn, .end_pfn = end_pfn};
	int niceness = getpriority(PRIO_PROCESS, 0), error = 0;
	uint64_t vacated_pages = 0, occupied_bytes;

	if (begin_pfn > end_pfn || end_pfn > UINT64_MAX / PAGE_BYTES)
		return;
	occupied_bytes = (end_pfn - begin_pfn) * PAGE_BYTES;
	if (!vacate_is_wise(occupied_bytes, facts_total_bytes(), facts_available_bytes()))
		return;
	setpriority(PRIO_PROCESS, 0, NICE_LEAST);
	while (io.next_pfn < io.end_pfn && clock_left_ms(deadline_ns) > 0 && !error) {
		uint64_t begin_ns = clock_ns();

		error = device->ops->vacate(device, &io);
		vacated_pages += error ? 0 : io.vacated_pages;
		clock_sleep_ms((unsigned int)((clock_ns() - begin_ns) / NS_PER_MS));
	}
	setpriority(PRIO_PROCESS, 0, niceness);
	if (error)
		log_text("vacating frames for the standby: %s", strerror(-error));
	log_text("vacated %llu of %llu MiB that the standby lies in",
		 (unsigned long long)(vacated_pages * PAGE_BYTES >> 20),
		 (unsigned long long)(occupied_bytes >> 20));
}
