/* SPDX-License-Identifier: GPL-2.0-only */
/* Frames that are vacated for another system: they must not be read, nor be in the image. */
#ifndef SNAPSHOT_DELTA_VACATE_H
#define SNAPSHOT_DELTA_VACATE_H

#include "harness.h"

#define BLOCK_FRAMES	512UL
#define VACATE_BYTES	(256UL << 20)
#define VACATE_BLOCKS	(VACATE_BYTES / PAGE / BLOCK_FRAMES)

/* The list in an image: 64 frames from pfn on, a bit each. */
struct image_frames {
	uint64_t pfn, saved, same, zero;
};

static bool vacated[VACATE_BLOCKS];

static bool is_vacated(uint64_t pfn)
{
	return pfn < VACATE_BYTES / PAGE && vacated[pfn / BLOCK_FRAMES];
}

static uint64_t vacate_range(int fd, uint64_t from, uint64_t to)
{
	uint64_t sum = 0;

	while (from < to) {
		struct snapshot_vacate io = { .size = sizeof(io), .next_pfn = from,
					      .end_pfn = to };

		if (ioctl(fd, SNAPSHOT_VACATE, &io))
			fatal("SNAPSHOT_VACATE");
		if (io.next_pfn > to || (io.next_pfn < from + BLOCK_FRAMES && io.next_pfn != to))
			fatal("SNAPSHOT_VACATE went nowhere");
		from = io.next_pfn;
		sum += io.vacated_pages;
	}
	return sum;
}

/* Block by block, to know which they are. */
static void vacate(int fd)
{
	double start = now();
	uint64_t sum = 0;

	for (uint64_t i = 0; i < VACATE_BLOCKS; i++) {
		uint64_t got = vacate_range(fd, i * BLOCK_FRAMES, (i + 1) * BLOCK_FRAMES);

		vacated[i] = got > 0;
		sum += got;
		if (got && got != BLOCK_FRAMES)
			fatal("part of a block");
	}
	printf("# %llu frames vacated, %.0f ms\n", (unsigned long long)sum, (now() - start) * 1e3);
	check(sum > 8 * BLOCK_FRAMES, "much of it can be moved", (long)sum);
	check(!vacate_range(fd, 0, VACATE_BYTES / PAGE), "once only", 0);
}

static void test_vacate(int fd)
{
	struct snapshot_vacate io = { .size = sizeof(io) - 1 };

	EXPECT(ioctl(fd, SNAPSHOT_VACATE, &io), -EINVAL);
	io = (struct snapshot_vacate) { .size = sizeof(io), .flags = 1 };
	EXPECT(ioctl(fd, SNAPSHOT_VACATE, &io), -EINVAL);
	io = (struct snapshot_vacate) { .size = sizeof(io), .next_pfn = 1 };
	EXPECT(ioctl(fd, SNAPSHOT_VACATE, &io), -EINVAL);
	EXPECT(ioctl(fd, SNAPSHOT_VACATE, NULL), -EFAULT);
	io = (struct snapshot_vacate) { .size = sizeof(io), .next_pfn = 1ULL << 50,
					.end_pfn = ~0ULL };
	EXPECT(ioctl(fd, SNAPSHOT_VACATE, &io), 0);
	check(io.next_pfn == ~0ULL && !io.vacated_pages, "beyond the end", 0);
	EXPECT(ioctl(fd, SNAPSHOT_FREEZE), 0);
	EXPECT(ioctl(fd, SNAPSHOT_VACATE, &io), -EPERM);
	EXPECT(ioctl(fd, SNAPSHOT_UNFREEZE), 0);
}

/* The first part of an image has all of its list, from the second page on. */
static void check_image_list(const char *image, size_t bytes, long saveable)
{
	const struct image_frames *f = (const void *)(image + PAGE);
	const struct image_frames *end = (const void *)(image + bytes);
	long listed = 0, wrong = 0;

	/* A last page that is full has no end. */
	for (; f < end && f->saved && listed < saveable; f++) {
		for (unsigned int bit = 0; bit < 64; bit++)
			if (f->saved >> bit & 1)
				wrong += is_vacated(f->pfn + bit);
		listed += __builtin_popcountll(f->saved);
		if ((f->same | f->zero) & ~f->saved || f->same & f->zero)
			wrong++;
	}
	check(f < end && listed == saveable, "the image's list", listed);
	check(!wrong, "no vacated frame in it", wrong);
}

#endif
