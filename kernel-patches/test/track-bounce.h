/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bounce buffers, on a machine with `iommu=soft swiotlb=force`: while its devices are off nothing
 * is in them, so the image does without.
 */
#ifndef SNAPSHOT_TRACK_BOUNCE_H
#define SNAPSHOT_TRACK_BOUNCE_H

#include "track.h"
#include "kernel-log.h"

/* Where the kernel has said that they are. */
static bool find_bounce_buffers(uint64_t *from, uint64_t *to)
{
	const char *line = strstr(kernel_log(), "software IO TLB: mapped [mem ");
	unsigned long first, last;

	if (!line || sscanf(line, "software IO TLB: mapped [mem %lx-%lx]", &first, &last) != 2)
		return false;
	*from = first / PAGE;
	*to = last / PAGE;
	return true;
}

static bool has_word(const char *begin)
{
	FILE *f = fopen("/proc/cmdline", "re");
	char line[1024] = "";

	must(f, "/proc/cmdline");
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	return strstr(line, begin);
}

static void test_bounce_buffers(void)
{
	uint64_t from, to, read = 0, saved = 0;
	int fd;

	if (!has_word("swiotlb="))
		return;
	must(find_bounce_buffers(&from, &to), "bounce buffers");
	must(to <= FRAMES_MAX, "frames");
	memset(given + from, 0, (to - from) * sizeof(*given));
	fd = live_begin();
	read_round(fd, TRACK);
	snapshot(fd);
	for (uint64_t pfn = from; pfn < to; pfn++) {
		read += given[pfn] != 0;
		saved += checks_of[pfn] != 0;
	}
	printf("# %llu bounce buffers of a page\n", (unsigned long long)(to - from));
	check(to - from > 1000, "there are some", (long)(to - from));
	/* The disk may be at work then. */
	check(read < (to - from) / 2, "few of them are read", (long)read);
	check(!saved, "none of them is in the image", (long)saved);
	snapshot_end(fd);
	check(beats(), "the machine goes on", 0);
}

#endif
