/* SPDX-License-Identifier: GPL-2.0-only */
/* Images that are wrong, each of which must be refused, and the machine goes on. */
#ifndef SNAPSHOT_HOSTILE_H
#define SNAPSHOT_HOSTILE_H

#include "harness.h"

static char *image;
static uint64_t size;

/* The part of struct swsusp_info that follows uts, version and padding. */
static uint64_t *header(unsigned int field)
{
	return (void *)(image + 400 + 8 * field);
}

/* Loads @image up to @upto bytes; the device's last word on it. */
static long load(int fd, uint64_t upto)
{
	return move(fd, false, image, upto, CHUNK);
}

static void refused(const char *what, long want)
{
	int fd = device(O_WRONLY);
	double start = now();
	uint64_t done = 0;
	long ret = 0, again;

	/* A page a call, so that the error is not hidden by what went before it. */
	for (; done < size; done += (uint64_t)ret) {
		ret = result(write(fd, image + done, PAGE));
		if (ret <= 0)
			break;
	}
	printf("# %s: stopped after %llu pages, %.0f ms\n", what,
	       (unsigned long long)done / PAGE, (now() - start) * 1e3);
	check(ret == want, what, ret);
	again = result(write(fd, image, PAGE));
	check(again == want, " and again", again);
	ioctl(fd, SNAPSHOT_FREEZE, 0);
	again = result(ioctl(fd, SNAPSHOT_ATOMIC_RESTORE, 0));
	check(again == want, " and by the restore", again);
	close(fd);
}

static void test_hostile(void)
{
	uint64_t *pfns = (void *)(image + PAGE), keep, last, meta, *entry;
	int fd;

	last = *header(3) - *header(2) - 1;	/* metadata pages */
	meta = last;
	printf("# %llu pages, %llu of data, %llu of metadata\n",
	       (unsigned long long)*header(3), (unsigned long long)*header(2),
	       (unsigned long long)meta);

	keep = *header(0);
	*header(0) = keep + 1;
	refused("other memory size", -EPERM);
	*header(0) = keep;

	keep = *header(3);
	*header(3) = *header(2) + 1;
	refused("no metadata", -EPERM);
	*header(3) = 1;
	refused("metadata below zero", -EPERM);
	*header(3) = ~0ULL;
	refused("metadata without end", -EPERM);
	*header(3) = keep;

	keep = *header(2);
	*header(2) = 0;
	refused("no data", -EPERM);
	*header(2) = 1ULL << 31;
	*header(3) += *header(2) - keep;
	refused("data without end", -EPERM);
	*header(3) -= *header(2) - keep;
	*header(2) = keep - 1;
	*header(3) -= 1;
	refused("a page too many", -EINVAL);
	*header(2) = keep + 1;
	*header(3) += 2;
	refused("a page too few", -EINVAL);
	*header(2) = keep;
	*header(3) -= 1;

	keep = pfns[0];
	pfns[0] = 1ULL << 40;
	refused("page frame that does not exist", -EFAULT);
	pfns[0] = 0xa0;
	refused("page frame that is not RAM", -EFAULT);
	pfns[0] = keep;

	/* The same page frame twice: the bitmap ends before the image does. */
	entry = pfns;
	while (entry[0] & ZERO_PFN || entry[1] & ZERO_PFN)
		entry++;
	keep = entry[1];
	entry[1] = entry[0];
	refused("page frame named twice", -EFAULT);
	entry[1] = keep;

	fd = device(O_WRONLY);
	EXPECT(ioctl(fd, SNAPSHOT_ATOMIC_RESTORE, 0), -EPERM);
	EXPECT(ioctl(fd, SNAPSHOT_FREEZE, 0), 0);
	EXPECT(ioctl(fd, SNAPSHOT_ATOMIC_RESTORE, 0), -EPERM);
	EXPECT(load(fd, PAGE), (long)PAGE);
	EXPECT(ioctl(fd, SNAPSHOT_ATOMIC_RESTORE, 0), -EPERM);
	EXPECT(ioctl(fd, SNAPSHOT_FREE, 0), 0);
	EXPECT(load(fd, size / 2 / PAGE * PAGE), (long)(size / 2 / PAGE * PAGE));
	EXPECT(ioctl(fd, SNAPSHOT_ATOMIC_RESTORE, 0), -ENODATA);
	EXPECT(write(fd, image, PAGE), -ENODATA);
	EXPECT(ioctl(fd, SNAPSHOT_FREE, 0), 0);
	EXPECT(load(fd, size - 1), (long)size - 1);
	EXPECT(ioctl(fd, SNAPSHOT_ATOMIC_RESTORE, 0), -ENODATA);
	close(fd);

	/* Called off, then gone on with. */
	fd = device(O_WRONLY);
	EXPECT(load(fd, size / 2), (long)(size / 2));
	EXPECT(ioctl(fd, SNAPSHOT_FREEZE, 0), 0);
	EXPECT(ioctl(fd, SNAPSHOT_UNFREEZE, 0), 0);
	EXPECT(move(fd, false, image + size / 2, PAGE, 100), (long)PAGE);
	close(fd);
	check(beats(), "the standby goes on", 0);
}

#endif
