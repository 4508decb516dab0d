/* SPDX-License-Identifier: GPL-2.0-only */
/* What a kernel that only loads says of its memory, and what no image may write to. */
#ifndef SNAPSHOT_DELTA_LOADER_H
#define SNAPSHOT_DELTA_LOADER_H

#include "harness.h"

static struct snapshot_preload_begin begun;	/* by the last SNAPSHOT_PRELOAD_BEGIN */

static unsigned long long number_in(const char *path)
{
	unsigned long long value = 0;
	FILE *f = fopen(path, "re");

	if (!f || fscanf(f, "%lli", (long long *)&value) != 1)
		fatal(path);
	fclose(f);
	return value;
}

/* The first frame above 1 MiB that the firmware keeps for itself. */
static uint64_t firmware_frame(void)
{
	char path[64], type[32];

	for (int i = 0;; i++) {
		unsigned long long start;
		FILE *f;

		snprintf(path, sizeof(path), "/sys/firmware/memmap/%d/type", i);
		f = fopen(path, "re");
		if (!f || !fgets(type, sizeof(type), f))
			fatal(path);
		fclose(f);
		snprintf(path, sizeof(path), "/sys/firmware/memmap/%d/start", i);
		start = number_in(path);
		if (start > 1 << 20 && strncmp(type, "System RAM", 10))
			return start / PAGE;
	}
}

/* A kernel that only loads (hibernate_loader=): the RAM that it does not use is for the image. */
static void test_image_ram(void)
{
	uint64_t image_ram = number_in("/sys/power/image_ram"), first = 0, end = UINT64_MAX;
	FILE *f = fopen("/proc/cmdline", "re");
	char line[4096] = "";
	const char *word;
	unsigned long mib, at_mib = 0;

	must(f && fgets(line, sizeof(line), f), "/proc/cmdline");
	fclose(f);
	word = strstr(line, "hibernate_loader=");
	if (word && sscanf(word, "hibernate_loader=%luM@%luM", &mib, &at_mib) >= 1) {
		first = at_mib << (20 - 12);
		end = first + (mib << (20 - 12));
	}
	check(!word == !image_ram, "RAM for images", (long)(image_ram >> 20));
	check(begun.owned_pages > image_ram / PAGE, "it is owned", (long)begun.owned_pages);
	check(begun.occupied_pfn >= first && begun.occupied_end_pfn <= end,
	      "what else is occupied lies where it was told to", (long)begun.occupied_pfn);
	check(begun.occupied_end_pfn > begun.occupied_pfn, "and is not nothing",
	      (long)begun.occupied_end_pfn);
}

#endif
