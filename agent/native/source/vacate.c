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

bool vacate_is_wise(uint64_t end_bytes, uint64_t total_bytes, uint64_t available_bytes)
{
	return end_bytes > 0 && end_bytes <= total_bytes / TOTAL_SHARE &&
	       end_bytes <= available_bytes / AVAILABLE_SHARE;
}

void vacate_frames(struct snapshot_device *device, uint64_t end_pages, uint64_t deadline_ns)
{
	struct pmsm_snapshot_vacate io = {.end_pfn = end_pages};
	int niceness = getpriority(PRIO_PROCESS, 0), error = 0;
	uint64_t vacated_pages = 0;

	if (end_pages > UINT64_MAX / PAGE_BYTES ||
	    !vacate_is_wise(end_pages * PAGE_BYTES, facts_total_bytes(), facts_available_bytes()))
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
		 (unsigned long long)(end_pages * PAGE_BYTES >> 20));
}
