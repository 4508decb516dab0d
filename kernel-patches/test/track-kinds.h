/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kinds of memory that track-test looks at, and the ways to write to each: kinds[] at the end
 * is the list.
 *
 * A subject is some memory of one kind, in units. Each unit with an even number is written to in
 * the kind's way, the others are left alone.
 */
#ifndef SNAPSHOT_TRACK_KINDS_H
#define SNAPSHOT_TRACK_KINDS_H

#include "track.h"
#include <linux/io_uring.h>
#include <sched.h>
#include <sys/syscall.h>

#define UNITS		4UL
#define HUGE_PAGES	512UL
#define SOFT_VERSION	7U	/* from then on soft-dirty is in use */
#define SEED_PAGES	(4 * UNITS)

enum expected {
	LEFT_KNOWN = 1,		/* units left alone are known */
	WRITTEN_KNOWN = 2,	/* those written to are, when they have been given again */
};

struct subject;

struct kind {
	const char *name;
	unsigned int expected;
	void (*setup)(struct subject *s);
	/* Changes the page at @at for the @version-th time. */
	void (*write)(struct subject *s, char *at, unsigned int version);
};

struct subject {
	const struct kind *kind;
	size_t unit_pages;
	char *at;
	int fds[UNITS];		/* of files */
	pid_t child;
};

static struct process self;
static int seed;		/* a file of random pages, for O_DIRECT */

static void fill(char *page, unsigned int version)
{
	uint64_t *words = (uint64_t *)page;

	for (size_t i = 0; i < PAGE / sizeof(*words); i++)
		words[i] = ((uintptr_t)page ^ ((uint64_t)version << 32) ^ i) * 0x9e3779b97f4a7c15ULL;
}

static size_t pages_of(const struct subject *s)
{
	return UNITS * s->unit_pages;
}

/* Somewhere in the unit, not at its begin. */
static char *written_page(const struct subject *s, size_t unit)
{
	return s->at + (unit * s->unit_pages + s->unit_pages / 2) * PAGE;
}

static char *map(size_t bytes, int prot, int flags, int fd)
{
	char *at = mmap(NULL, bytes, prot, flags, fd, 0);

	if (at == MAP_FAILED)
		fatal("mmap");
	return at;
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	must(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

static void anon_setup(struct subject *s)
{
	s->unit_pages = 1;
	/* Alone in its mapping, and no huge page. */
	s->at = map(UNITS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	madvise(s->at, UNITS * PAGE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < UNITS; i++)
		fill(s->at + i * PAGE, 0);
}

static void store(struct subject *s, char *at, unsigned int version)
{
	(void)s;
	fill(at, version);
}

static void store_protected(struct subject *s, char *at, unsigned int version)
{
	(void)s;
	must(!mprotect(at, PAGE, PROT_READ | PROT_WRITE), "mprotect");
	fill(at, version);
	must(!mprotect(at, PAGE, PROT_READ), "mprotect");
}

/* What others do behaves differently after it: entries are not made writable without a fault. */
static void store_soft_clean(struct subject *s, char *at, unsigned int version)
{
	int fd;

	(void)s;
	fill(at, version);
	if (version < SOFT_VERSION)
		return;
	fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	must(fd >= 0 && write(fd, "4", 1) == 1, "clear_refs");
	close(fd);
}

static void fork_setup(struct subject *s)
{
	anon_setup(s);
	s->child = fork();
	while (!s->child)
		pause();
	must(s->child > 0, "fork");
}

static void fork_ended_setup(struct subject *s)
{
	fork_setup(s);
	kill(s->child, SIGKILL);
	waitpid(s->child, NULL, 0);
}

/* The page is reclaimed, as far as it can be, and must be what it was when it comes back. */
static void reclaim(const struct subject *s, char *at)
{
	char before[PAGE];

	memcpy(before, at, PAGE);
	/* What was lazily freed and used again becomes a page to swap with the first. */
	for (unsigned int i = 0; i < 2 && frame_of(&self, (uintptr_t)at); i++)
		must(!madvise(at, PAGE, MADV_PAGEOUT), "MADV_PAGEOUT");
	if (frame_of(&self, (uintptr_t)at))
		check(false, "reclaimed", (long)(at - s->at));
	if (memcmp(before, at, PAGE))
		check(false, s->kind->name, (long)(at - s->at));
}

static volatile uint32_t *let_go;	/* 1: now */

static void letting_setup(struct subject *s)
{
	let_go = pages(PAGE);
	anon_setup(s);
	s->child = fork();
	must(s->child >= 0, "fork");
	if (s->child)
		return;
	while (!*let_go)
		usleep(1000);
	must(!madvise(s->at, UNITS * PAGE, MADV_FREE), "MADV_FREE");
	_exit(0);
}

/* What a child does not want any more, its parent may. */
static void store_after_child(struct subject *s, char *at, unsigned int version)
{
	if (s->child) {
		*let_go = 1;
		waitpid(s->child, NULL, 0);
		s->child = 0;
	}
	reclaim(s, at);
	fill(at, version);
}

/* It was to be forgotten, then it was used again, so reclaim must not forget it. */
static void store_lazily_freed(struct subject *s, char *at, unsigned int version)
{
	reclaim(s, at);
	must(!madvise(at, PAGE, MADV_FREE), "MADV_FREE");
	fill(at, version);
	/* So that the next one is not written to by an entry that is writable. */
	must(!mprotect(at, PAGE, PROT_READ) && !mprotect(at, PAGE, PROT_READ | PROT_WRITE),
	     "mprotect");
}

/* Another one's free(): the same frame, or none. */
static void store_after_free(struct subject *s, char *at, unsigned int version)
{
	(void)s;
	must(!madvise(at, PAGE, MADV_DONTNEED), "MADV_DONTNEED");
	fill(at, version);
}

static void force_setup(struct subject *s)
{
	anon_setup(s);
	must(!mprotect(s->at, UNITS * PAGE, PROT_READ), "mprotect");
}

/* As a debugger does it, whatever the entry permits. */
static void force(struct subject *s, char *at, unsigned int version)
{
	uint64_t word = version;

	(void)s;
	must(pwrite(self.mem, &word, 8, (off_t)(uintptr_t)at + 64) == 8, "/proc/self/mem");
}

/* By the disk, into a pinned page. */
static void read_direct(struct subject *s, char *at, unsigned int version)
{
	(void)s;
	must(pread(seed, at, PAGE, (off_t)((version % SEED_PAGES) * PAGE)) == (ssize_t)PAGE,
	     "O_DIRECT");
}

/* The entry is writable again without a fault, so nothing marks it, and then it is not. */
static void read_direct_protected(struct subject *s, char *at, unsigned int version)
{
	must(!mprotect(at, PAGE, PROT_READ | PROT_WRITE), "mprotect");
	read_direct(s, at, version);
	must(!mprotect(at, PAGE, PROT_READ), "mprotect");
}

/* A ring with one entry. */
struct ring {
	int fd;
	uint32_t *sq_tail, *sq_array, *cq_head;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	char *sq, *cq;
	size_t sq_bytes, cq_bytes;
};

static struct ring ring_open(void)
{
	struct io_uring_params p = { 0 };
	struct ring r;

	r.fd = (int)syscall(SYS_io_uring_setup, 1, &p);
	must(r.fd >= 0, "io_uring_setup");
	r.sq_bytes = p.sq_off.array + p.sq_entries * sizeof(uint32_t);
	r.cq_bytes = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	r.sq = mmap(NULL, r.sq_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd,
		    IORING_OFF_SQ_RING);
	r.cq = mmap(NULL, r.cq_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd,
		    IORING_OFF_CQ_RING);
	r.sqes = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd, IORING_OFF_SQES);
	must(r.sq != MAP_FAILED && r.cq != MAP_FAILED && r.sqes != MAP_FAILED, "io_uring mmap");
	r.sq_tail = (uint32_t *)(r.sq + p.sq_off.tail);
	r.sq_array = (uint32_t *)(r.sq + p.sq_off.array);
	r.cq_head = (uint32_t *)(r.cq + p.cq_off.head);
	r.cqes = (struct io_uring_cqe *)(r.cq + p.cq_off.cqes);
	return r;
}

static void ring_close(struct ring *r)
{
	munmap(r->sq, r->sq_bytes);
	munmap(r->cq, r->cq_bytes);
	munmap(r->sqes, PAGE);
	close(r->fd);
}

static void ring_register(struct ring *r, char *at)
{
	struct iovec buffer = { .iov_base = at, .iov_len = PAGE };

	must(!syscall(SYS_io_uring_register, r->fd, IORING_REGISTER_BUFFERS, &buffer, 1),
	     "IORING_REGISTER_BUFFERS");
}

static void ring_read(struct ring *r, char *at, unsigned int version)
{
	uint32_t tail = *r->sq_tail, head = *r->cq_head;

	r->sqes[0] = (struct io_uring_sqe) {
		.opcode = IORING_OP_READ_FIXED, .fd = seed, .addr = (uintptr_t)at, .len = PAGE,
		.off = (version % SEED_PAGES) * PAGE,
	};
	r->sq_array[0] = 0;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	must(syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1 &&
	     r->cqes[0].res == (int)PAGE, "IORING_OP_READ_FIXED");
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
}

/* Pinned, written to by the disk, unpinned: nothing marks the page or its entry in all of that. */
static void read_fixed(struct subject *s, char *at, unsigned int version)
{
	struct ring r = ring_open();

	(void)s;
	must(!mprotect(at, PAGE, PROT_READ | PROT_WRITE), "mprotect");
	ring_register(&r, at);
	ring_read(&r, at, version);
	must(!syscall(SYS_io_uring_register, r.fd, IORING_UNREGISTER_BUFFERS, NULL, 0),
	     "IORING_UNREGISTER_BUFFERS");
	ring_close(&r);
	must(!mprotect(at, PAGE, PROT_READ), "mprotect");
}

/* The same with pins that are there all the time. */
static struct ring held[UNITS];

static void held_setup(struct subject *s)
{
	anon_setup(s);
	for (size_t i = 0; i < UNITS; i++) {
		held[i] = ring_open();
		ring_register(&held[i], s->at + i * PAGE);
	}
}

static void read_held(struct subject *s, char *at, unsigned int version)
{
	ring_read(&held[(size_t)(at - s->at) / PAGE], at, version);
}

static void huge_setup(struct subject *s)
{
	size_t bytes = (UNITS + 1) * HUGE_PAGES * PAGE;
	char *at = map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	s->unit_pages = HUGE_PAGES;
	s->at = (char *)(((uintptr_t)at + HUGE_PAGES * PAGE - 1) & -(HUGE_PAGES * PAGE));
	must(!madvise(s->at, pages_of(s) * PAGE, MADV_HUGEPAGE), "MADV_HUGEPAGE");
	for (size_t i = 0; i < pages_of(s); i++)
		fill(s->at + i * PAGE, 0);
}

/* One entry becomes 512. */
static void store_split(struct subject *s, char *at, unsigned int version)
{
	(void)s;
	fill(at, version);
	must(!mprotect(at, PAGE, PROT_READ) && !mprotect(at, PAGE, PROT_READ | PROT_WRITE),
	     "mprotect");
}

/* To another address and back. */
static void store_moved(struct subject *s, char *at, unsigned int version)
{
	char *place = map(PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	(void)s;
	fill(at, version);
	must(mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place &&
	     mremap(place, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at, "mremap");
}

/* It comes back into the swap cache; what is written then must not be lost. */
static void store_swapped(struct subject *s, char *at, unsigned int version)
{
	reclaim(s, at);
	fill(at, version);
}

/* Each unit is the first page of a file of its own, of @bytes bytes. */
static void files_map(struct subject *s, const char *directory, size_t bytes, int prot)
{
	char path[64], page[2 * PAGE];

	s->unit_pages = 1;
	s->at = map(UNITS * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	for (size_t i = 0; i < UNITS; i++) {
		char *at = s->at + i * PAGE;

		snprintf(path, sizeof(path), "%s/%p-%zu", directory, (void *)s, i);
		s->fds[i] = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		fill(page, (unsigned int)i + 1000);
		fill(page + PAGE, (unsigned int)i + 1000);
		must(s->fds[i] >= 0 && write(s->fds[i], page, bytes) == (ssize_t)bytes &&
		     !fsync(s->fds[i]), path);
		must(mmap(at, PAGE, prot, MAP_SHARED | MAP_FIXED | MAP_POPULATE, s->fds[i], 0) == at,
		     "mmap");
	}
}

static void file_setup(struct subject *s)
{
	files_map(s, "/mnt", PAGE, PROT_READ);
}

static void pair_setup(struct subject *s)
{
	files_map(s, "/mnt", 2 * PAGE, PROT_READ);
}

static void shared_setup(struct subject *s)
{
	files_map(s, "/mnt", PAGE, PROT_READ | PROT_WRITE);
}

static void inline_setup(struct subject *s)
{
	files_map(s, "/inline", 32, PROT_READ);
}

static int file_at(const struct subject *s, const char *at)
{
	return s->fds[(size_t)(at - s->at) / PAGE];
}

/* With an odd version a file is clean after it was written, with an even one it is not. */
static void settle(int fd, unsigned int version)
{
	if (version % 2)
		must(!fsync(fd), "fsync");
}

static void file_write(struct subject *s, char *at, unsigned int version)
{
	int fd = file_at(s, at);

	must(pwrite(fd, &version, sizeof(version), 8) == sizeof(version), "pwrite");
	settle(fd, version);
}

static void shared_store(struct subject *s, char *at, unsigned int version)
{
	fill(at, version);
	settle(file_at(s, at), version);
}

/* The end of the page becomes zero, before anything makes it dirty. */
static void file_truncate(struct subject *s, char *at, unsigned int version)
{
	int fd = file_at(s, at);

	must(!ftruncate(fd, 4000 - 16 * (off_t)version) && !ftruncate(fd, PAGE), "ftruncate");
	settle(fd, version);
}

/* The file's other page, which most likely gets the frame that was freed. */
static void file_replace(struct subject *s, char *at, unsigned int version)
{
	off_t offset = version % 2 ? (off_t)PAGE : 0;
	int fd = file_at(s, at);

	must(!munmap(at, PAGE) && !posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), "fadvise");
	must(mmap(at, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, offset) == at,
	     "mmap");
}

static void file_punch(struct subject *s, char *at, unsigned int version)
{
	int fd = file_at(s, at);

	must(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 64 * (off_t)version, 32),
	     "fallocate");
	settle(fd, version);
}

#define BOTH (LEFT_KNOWN | WRITTEN_KNOWN)

static const struct kind kinds[] = {
	/* First, since their children have what was there before, too. */
	{ "a child has it, too", WRITTEN_KNOWN, fork_setup, store },
	{ "a child had it, too", WRITTEN_KNOWN, fork_ended_setup, store },
	{ "a child lets go of it", 0, letting_setup, store_after_child },
	{ "stored to", BOTH, anon_setup, store },
	{ "stored to, then read-only", BOTH, anon_setup, store_protected },
	{ "stored to, then softly clean", BOTH, anon_setup, store_soft_clean },
	{ "lazily freed and used again", LEFT_KNOWN, anon_setup, store_lazily_freed },
	{ "freed and used again", BOTH, anon_setup, store_after_free },
	{ "written to by force", BOTH, force_setup, force },
	{ "read from the disk", BOTH, anon_setup, read_direct },
	{ "read from the disk by a clean entry", BOTH, anon_setup, read_direct_protected },
	{ "read by a pin", BOTH, anon_setup, read_fixed },
	{ "read by a pin that stays", 0, held_setup, read_held },
	{ "huge page", BOTH, huge_setup, store },
	{ "huge page that is split", BOTH, huge_setup, store_split },
	{ "moved", BOTH, anon_setup, store_moved },
	{ "swapped", LEFT_KNOWN, anon_setup, store_swapped },
	{ "file, write()", BOTH, file_setup, file_write },
	{ "file, mapped", BOTH, shared_setup, shared_store },
	{ "file, cut and made longer", BOTH, file_setup, file_truncate },
	{ "file, hole", BOTH, file_setup, file_punch },
	{ "file, another page of it", LEFT_KNOWN, pair_setup, file_replace },
	{ "file with inline data", 0, inline_setup, file_write },
};

#define SUBJECTS (sizeof(kinds) / sizeof(*kinds))

static struct subject subjects[SUBJECTS];

#endif
