// SPDX-License-Identifier: GPL-2.0-only
/* When a source moves out of the way of its standby, and how far it goes. */
#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "source/vacate.h"
#include "test.h"

#define MIB	    (UINT64_C(1) << 20)
#define STEP_PAGES  512
#define SMALL_PAGES 4096
#define CALL_MS	    5

/* A kernel that does one step a call; every second one holds what cannot be moved. */
struct kernel {
	unsigned int calls, fails_after;
	uint64_t first_pfn, end_pfn;
};

static int fake_vacate(struct snapshot_device *device, struct pmsm_snapshot_vacate *vacate)
{
	struct kernel *kernel = device->context;

	if (kernel->calls++ == 0)
		kernel->first_pfn = vacate->next_pfn;
	if (kernel->fails_after && kernel->calls > kernel->fails_after)
		return -ENOTTY;
	clock_sleep_ms(CALL_MS);
	vacate->vacated_pages = kernel->calls % 2 ? STEP_PAGES : 0;
	vacate->next_pfn += STEP_PAGES;
	kernel->end_pfn = vacate->next_pfn;
	return 0;
}

static const struct snapshot_operations operations = {.vacate = fake_vacate};

static struct kernel vacate_from(uint64_t begin_pfn, uint64_t end_pfn, unsigned int fails_after,
				 uint64_t limit_ms)
{
	struct kernel kernel = {.fails_after = fails_after};
	struct snapshot_device device = {.ops = &operations, .fd = -1, .context = &kernel};

	vacate_frames(&device, begin_pfn, end_pfn, clock_deadline_ms(limit_ms));
	return kernel;
}

static struct kernel vacate(uint64_t end_pfn, unsigned int fails_after, uint64_t limit_ms)
{
	return vacate_from(0, end_pfn, fails_after, limit_ms);
}

static void test_wisdom(void)
{
	CHECK(vacate_is_wise(128 * MIB, 2048 * MIB, 1024 * MIB),
	      "a small standby is made room for");
	CHECK(!vacate_is_wise(0, 2048 * MIB, 1024 * MIB), "nobody knows where the standby is");
	CHECK(!vacate_is_wise(2048 * MIB, 2048 * MIB, 1024 * MIB), "a standby that is everywhere");
	CHECK(!vacate_is_wise(128 * MIB, 511 * MIB, 500 * MIB), "a large part of a small machine");
	CHECK(!vacate_is_wise(128 * MIB, 2048 * MIB, 255 * MIB), "a machine that is nearly full");
}

static void test_calls(void)
{
	struct kernel kernel = vacate(SMALL_PAGES, 0, 10000);

	CHECK(kernel.first_pfn == 0 && kernel.end_pfn == SMALL_PAGES,
	      "from the first frame to where the standby ends");
	CHECK(kernel.calls == SMALL_PAGES / STEP_PAGES, "a call for each step");
	kernel = vacate_from(100 * SMALL_PAGES, 101 * SMALL_PAGES, 0, 10000);
	CHECK(kernel.first_pfn == 100 * SMALL_PAGES && kernel.end_pfn == 101 * SMALL_PAGES,
	      "or a part of memory in between");
	CHECK(vacate_from(SMALL_PAGES, 0, 0, 10000).calls == 0,
	      "no call for an end before the begin");
	CHECK(vacate(0, 0, 10000).calls == 0, "nor if nobody knows where it ends");
	CHECK(vacate(UINT64_MAX, 0, 10000).calls == 0, "nor for an end that cannot be");
	CHECK(vacate(SMALL_PAGES, 0, 0).calls == 0, "nor when the time is over");
	kernel = vacate(SMALL_PAGES, 0, 2 * CALL_MS);
	CHECK(kernel.calls > 0 && kernel.calls < SMALL_PAGES / STEP_PAGES,
	      "a part when the time ends in between: %u calls", kernel.calls);
	CHECK(vacate(SMALL_PAGES, 1, 10000).calls == 2, "an error ends it, and does no harm");
	CHECK(vacate(SMALL_PAGES, 1, 10000).end_pfn == STEP_PAGES, "what was vacated stays so");
}

int main(void)
{
	test_wisdom();
	test_calls();
	return test_end();
}
