/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory for an image: set aside before processes freeze, given back when there is time. */
#ifndef SNAPSHOT_DELTA_RESERVE_H
#define SNAPSHOT_DELTA_RESERVE_H

#include "harness.h"

#define RESERVE_PAGES	8192L
/* What the rest of the system takes and gives meanwhile. */
#define RESERVE_NOISE	2048L

/* Of all zones, with those that processors keep at hand, which MemFree does not count. */
static long free_pages(void)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	long sum = 0, pages;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " pages free %ld", &pages) == 1 ||
		    sscanf(line, " count: %ld", &pages) == 1)
			sum += pages;
	if (f)
		fclose(f);
	must(sum > 0, "/proc/zoneinfo");
	return sum;
}

static bool is_about(long pages, long expected)
{
	return pages > expected - RESERVE_NOISE && pages < expected + RESERVE_NOISE;
}

/* @again: what is to be read next. @arm: SNAPSHOT_DELTA_ARM for so many copies. */
static void test_reserve(int fd, struct snapshot_live again, int (*arm)(int, uint64_t))
{
	long before = free_pages(), taken;
	struct snapshot_live io = again;

	check(arm(fd, RESERVE_PAGES) == 0, "armed while the system works", 0);
	taken = before - free_pages();
	check(is_about(taken, RESERVE_PAGES), "memory is set aside at once", taken);
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, &io), -EBUSY);
	check(arm(fd, RESERVE_PAGES / 2) == 0, "armed with less", 0);
	taken = before - free_pages();
	check(is_about(taken, RESERVE_PAGES / 2), "the first is given back", taken);
	EXPECT(ioctl(fd, SNAPSHOT_FREE), 0);
	taken = before - free_pages();
	check(is_about(taken, 0), "SNAPSHOT_FREE gives it back", taken);
	io = again;
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, &io), 0);
	check(arm(fd, RESERVE_PAGES) == 0, "armed once more", 0);
	EXPECT(ioctl(fd, SNAPSHOT_FREEZE), 0);
	EXPECT(ioctl(fd, SNAPSHOT_UNFREEZE), 0);
	taken = before - free_pages();
	check(is_about(taken, 0), "so does SNAPSHOT_UNFREEZE if no image was made", taken);
	io = again;
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, &io), 0);
	check(arm(fd, 1UL << 40) == -EINVAL, "more than there is", 0);
	check(beats(), "the machine goes on", 0);
}

/* Who is killed while memory is set aside leaves none behind.  @fd: all memory was read, not armed. */
static void test_reserve_closed(int fd, int (*arm)(int, uint64_t))
{
	long before = free_pages(), taken;

	check(arm(fd, RESERVE_PAGES) == 0, "armed, and then closed", 0);
	taken = before - free_pages();
	check(is_about(taken, RESERVE_PAGES), "memory is set aside", taken);
	close(fd);
	taken = before - free_pages();
	/* The digests of what was read come back as well. */
	check(taken < RESERVE_NOISE, "closing the device gives it back", taken);
	check(beats(), "the machine goes on", 0);
}

/* What was free before memory was set aside for the image; the new body knows it. */
static long free_before;

static int arm_for_image(int fd, uint64_t copies, int (*arm)(int, uint64_t))
{
	free_before = free_pages();
	return arm(fd, copies);
}

/* On the new body: processes are thawed first, and the copies are freed with the device. */
static void test_kept(int fd, long copies)
{
	long kept, left;

	EXPECT(ioctl(fd, SNAPSHOT_FREE), 0);
	EXPECT(ioctl(fd, SNAPSHOT_UNFREEZE), 0);
	check(beats(), "processes run", 0);
	kept = free_before - free_pages();
	check(is_about(kept, copies), "memory for the copies is kept", kept);
	close(fd);
	left = free_before - free_pages();
	/* Vacated frames come back as well. */
	check(left < RESERVE_NOISE, "and given back in the end", left);
}

#endif
