/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of SNAPSHOT_LIVE_TRACK share: they keep a digest of what they were given of each
 * frame, and look whether a frame that the kernel takes for unchanged is what they were given.
 */
#ifndef SNAPSHOT_TRACK_TEST_H
#define SNAPSHOT_TRACK_TEST_H

#include "harness.h"
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <linux/fs.h>

#define FRAMES_MAX	(1UL << 18)	/* of a machine that runs this */
#define BATCH_PAGES	1024UL
#define BATCH_FRAMES	(16 * BATCH_PAGES)
#define SNAPSHOTS_MAX	8
#define PFN_MASK	((1ULL << 55) - 1)
#define PRESENT		(1ULL << 63)
#define TRACK		(SNAPSHOT_LIVE_TRACK | SNAPSHOT_LIVE_CHANGED)
#define SPLIT		(TRACK | SNAPSHOT_LIVE_SPLIT)
#define HOW_GONE	0xff	/* the page has no frame */

static uint64_t *given;		/* digest of what was given of each frame, 0: nothing */
static uint64_t *checks_of;	/* of the last snapshot, by frame */
static uint64_t *frames;	/* BATCH_FRAMES */
static char *data;		/* BATCH_PAGES */

static void track_setup(void)
{
	given = pages(FRAMES_MAX * sizeof(*given));
	checks_of = pages(FRAMES_MAX * sizeof(*checks_of));
	frames = pages(BATCH_FRAMES * sizeof(*frames));
	data = pages(BATCH_PAGES * PAGE);
}

/* As the kernel makes it, for snapshot_check.digests. */
static uint64_t digest(const void *page)
{
	const uint64_t *words = page;
	uint64_t h = PAGE;

	for (size_t i = 0; i < PAGE / sizeof(*words); i++) {
		h = (h ^ words[i]) * 0x61c8864680b583ebULL;
		h ^= h >> 29;
	}
	return h & ~(uint64_t)SNAPSHOT_CHECK_HOW;
}

static uint64_t digest_of_zero(void)
{
	static const uint64_t zeros[PAGE / sizeof(uint64_t)];

	return digest(zeros);
}

static int live_begin(void)
{
	int fd = device(O_RDONLY | O_NONBLOCK);

	if (ioctl(fd, SNAPSHOT_LIVE_BEGIN))
		fatal("SNAPSHOT_LIVE_BEGIN");
	memset(given, 0, FRAMES_MAX * sizeof(*given));
	return fd;
}

/* All frames once; the number of those that were given. */
static uint64_t read_round(int fd, uint32_t flags)
{
	uint64_t next = 0, pages = 0, zero_digest = digest_of_zero();

	while (next != SNAPSHOT_LIVE_END) {
		struct snapshot_live io = {
			.size = sizeof(io), .flags = flags, .next_pfn = next,
			.frames = (uintptr_t)frames, .data = (uintptr_t)data,
			.frames_max = BATCH_FRAMES, .data_max = BATCH_PAGES,
		};
		const char *page = data;

		if (ioctl(fd, SNAPSHOT_LIVE_READ, &io))
			fatal("SNAPSHOT_LIVE_READ");
		for (uint32_t i = 0; i < io.frames_nr; i++) {
			uint64_t pfn = frames[i] & ~SNAPSHOT_FRAME_ZERO;
			bool zero = frames[i] & SNAPSHOT_FRAME_ZERO;

			if (pfn >= FRAMES_MAX)
				fatal("frame number");
			given[pfn] = zero ? zero_digest : digest(page);
			page += zero ? 0 : PAGE;
		}
		pages += io.frames_nr;
		next = io.next_pfn;
	}
	return pages;
}

/* Whether the file systems are frozen while a snapshot is made. */
static bool files_still;

static void freeze_files(bool freeze)
{
	static const char *const roots[] = { "/mnt", "/inline" };

	for (size_t i = 0; files_still && i < sizeof(roots) / sizeof(*roots); i++) {
		int fd = open(roots[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0 || ioctl(fd, freeze ? FIFREEZE : FITHAW, 0))
			fatal(roots[i]);
		close(fd);
	}
}

static unsigned int how_of(uint64_t pfn)
{
	return checks_of[pfn] & SNAPSHOT_CHECK_HOW;
}

static void judge_count(const char *what, unsigned long wrong, uint64_t first)
{
	if (wrong)
		printf("# frame %#llx and others\n", (unsigned long long)first);
	check(!wrong, what, (long)wrong);
}

/*
 * Of all frames, also those of the kernel: what is left out unseen is what was given, and each that is
 * in use, which the kernel's check finds in a way of its own, was thought of.
 */
static void judge_frames(void)
{
	unsigned long wrong = 0, forgotten = 0;
	uint64_t first_wrong = 0, first_forgotten = 0;

	for (uint64_t pfn = 0; pfn < FRAMES_MAX; pfn++) {
		if (checks_of[pfn] && !how_of(pfn) && !forgotten++)
			first_forgotten = pfn;
		if (how_of(pfn) == SNAPSHOT_CHECK_TRACKED &&
		    (checks_of[pfn] & ~(uint64_t)SNAPSHOT_CHECK_HOW) != given[pfn] && !wrong++)
			first_wrong = pfn;
	}
	judge_count("every frame that is taken for unchanged is what was given", wrong,
		    first_wrong);
	judge_count("every frame in use belongs to the image", forgotten, first_forgotten);
}

/*
 * Makes an image with frames left out, and learns what became of each. Ends with snapshot_end().
 * False: too much had changed for the room that there is, and all goes on.
 */
static bool try_snapshot(int fd, struct snapshot_delta *outcome)
{
	struct snapshot_delta delta = { .size = sizeof(delta), .flags = SNAPSHOT_DELTA_ARM,
					.copies_max = (uint64_t)sysconf(_SC_PHYS_PAGES) / 4 };
	struct snapshot_check io = { .size = sizeof(io), .flags = SNAPSHOT_CHECK_BEGIN };
	int in_suspend = -1;

	if (ioctl(fd, SNAPSHOT_CHECK, &io) || ioctl(fd, SNAPSHOT_DELTA, &delta) ||
	    ioctl(fd, SNAPSHOT_FREEZE))
		fatal("SNAPSHOT_FREEZE");
	freeze_files(true);
	if (ioctl(fd, SNAPSHOT_CREATE_IMAGE, &in_suspend)) {
		int error = errno;

		freeze_files(false);
		errno = error;
		if (errno != ENOSPC || ioctl(fd, SNAPSHOT_FREE) || ioctl(fd, SNAPSHOT_UNFREEZE))
			fatal("SNAPSHOT_CREATE_IMAGE");
		return false;
	}
	memset(checks_of, 0, FRAMES_MAX * sizeof(*checks_of));
	io = (struct snapshot_check) { .size = sizeof(io), .digests = (uintptr_t)checks_of,
				       .digests_nr = FRAMES_MAX };
	if (ioctl(fd, SNAPSHOT_CHECK, &io))
		fatal("SNAPSHOT_CHECK");
	delta.flags = 0;
	if (ioctl(fd, SNAPSHOT_DELTA, &delta))
		fatal("SNAPSHOT_DELTA");
	printf("# delta: %llu saveable, %llu zero, %llu same, %llu copied, %llu sealed, "
	       "%llu tracked\n", (unsigned long long)delta.saveable,
	       (unsigned long long)delta.zero, (unsigned long long)delta.same,
	       (unsigned long long)delta.copied, (unsigned long long)delta.sealed,
	       (unsigned long long)delta.tracked);
	judge_frames();
	*outcome = delta;
	return true;
}

static struct snapshot_delta snapshot(int fd)
{
	struct snapshot_delta delta;

	for (unsigned int i = 0; i < SNAPSHOTS_MAX; i++) {
		if (try_snapshot(fd, &delta))
			return delta;
		read_round(fd, TRACK);
	}
	printf("Bail out! too much has changed\n");
	exit(1);
}

static void snapshot_end(int fd)
{
	freeze_files(false);
	if (ioctl(fd, SNAPSHOT_FREE) || ioctl(fd, SNAPSHOT_UNFREEZE))
		fatal("SNAPSHOT_UNFREEZE");
	close(fd);
}

static void swap_on(const char *path, size_t bytes)
{
	static uint32_t page[PAGE / sizeof(uint32_t)];
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	for (size_t i = 0; i < bytes; i += PAGE) {
		memset(page, 0, PAGE);
		if (!i) {
			/* union swap_header of linux/swap.h: version, last_page */
			page[256] = 1;
			page[257] = (uint32_t)(bytes / PAGE - 1);
			memcpy((char *)page + PAGE - 10, "SWAPSPACE2", 10);
		}
		if (write(fd, page, PAGE) != (ssize_t)PAGE)
			fatal(path);
	}
	if (fsync(fd) || close(fd) || swapon(path, 0))
		fatal(path);
}

static void file_systems_on(void)
{
	if (mkdir("/mnt", 0700) || mkdir("/inline", 0700) ||
	    mount("/dev/vda", "/mnt", "ext4", 0, NULL) ||
	    mount("/dev/vdb", "/inline", "ext4", 0, NULL))
		fatal("mount");
}

/* Of one process: its page tables and its memory, as files. */
struct process {
	int pagemap, mem;
};

static struct process process_open(pid_t pid)
{
	struct process p;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	p.pagemap = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	p.mem = open(path, O_RDWR | O_CLOEXEC);
	if (p.pagemap < 0 || p.mem < 0)
		fatal(path);
	return p;
}

/* 0: none. */
static uint64_t frame_of(const struct process *p, uintptr_t at)
{
	uint64_t entry = 0;

	if (pread(p->pagemap, &entry, 8, (off_t)(at / PAGE * 8)) != 8)
		fatal("pagemap");
	return entry & PRESENT ? entry & PFN_MASK : 0;
}

struct verdict {
	bool right;		/* what was given, if nothing is in the image */
	unsigned int how;	/* SNAPSHOT_CHECK_* */
};

/* Of a page of a process that stands still, after snapshot(). */
static struct verdict judge(const struct process *p, uintptr_t at)
{
	static uint64_t page[PAGE / sizeof(uint64_t)];
	uint64_t pfn = frame_of(p, at);
	struct verdict v = { .right = true, .how = HOW_GONE };

	if (!pfn)
		return v;
	if (pread(p->mem, page, PAGE, (off_t)at) != (ssize_t)PAGE)
		fatal("mem");
	v.how = how_of(pfn);
	if (v.how == SNAPSHOT_CHECK_SAME || v.how == SNAPSHOT_CHECK_SEALED ||
	    v.how == SNAPSHOT_CHECK_TRACKED)
		v.right = given[pfn] == digest(page);
	return v;
}

#endif
