/* SPDX-License-Identifier: GPL-2.0-only */
/* What a kernel that only loads says of its memory, and what no image may write to. */
#ifndef SNAPSHOT_DELTA_LOADER_H
#define SNAPSHOT_DELTA_LOADER_H

#include "harness.h"

static uint64_t owned_pages;	/* by the last SNAPSHOT_PRELOAD_BEGIN */

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
	uint64_t image_ram = number_in("/sys/power/image_ram");
	char line[4096] = "";
	FILE *f = fopen("/proc/cmdline", "re");
	bool small = f && fgets(line, sizeof(line), f) && strstr(line, "hibernate_loader=");

	if (f)
		fclose(f);

	check(small == (image_ram > 0), "RAM for images", (long)(image_ram >> 20));
	check(owned_pages > image_ram / PAGE, "it is owned", (long)owned_pages);
}

#endif
