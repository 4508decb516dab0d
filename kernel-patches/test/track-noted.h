/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames that the kernel has noted in a round, so that it need not look at their struct pages in the
 * end: how many that were, and memory that makes a note of the first round wrong in the next one.
 */
#ifndef SNAPSHOT_TRACK_NOTED_H
#define SNAPSHOT_TRACK_NOTED_H

#include "track-bounce.h"
#include "track-kinds.h"

#define LATE_PAGES	4096UL

/* What the kernel has said of the last image: words of frames that it did not look at. */
static long noted_words(void)
{
	const char *at = kernel_log(), *last = NULL;
	long words = -1;

	while ((at = strstr(at, " missing, "))) {
		last = at;
		at++;
	}
	return last && sscanf(last, " missing, %ld words noted", &words) == 1 ? words : -1;
}

/*
 * Single free frames among others. They are in the page allocator's own lists, which say so, and not
 * in those of the processor, which may hold an eighth of memory.
 */
static char *make_holes(void)
{
	int fd = open("/proc/sys/vm/percpu_pagelist_high_fraction", O_WRONLY | O_CLOEXEC);
	char *at = map(LATE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	must(fd >= 0 && write(fd, "1000000", 7) == 7, "percpu_pagelist_high_fraction");
	close(fd);
	must(!madvise(at, LATE_PAGES * PAGE, MADV_NOHUGEPAGE), "MADV_NOHUGEPAGE");
	for (size_t i = 0; i < LATE_PAGES; i++)
		fill(at + i * PAGE, 40);
	for (size_t i = 1; i < LATE_PAGES; i += 2)
		must(!madvise(at + i * PAGE, PAGE, MADV_DONTNEED), "MADV_DONTNEED");
	return at;
}

static void fill_late(char *at)
{
	for (size_t i = 1; i < LATE_PAGES; i += 2)
		fill(at + i * PAGE, 41);
}

#endif
