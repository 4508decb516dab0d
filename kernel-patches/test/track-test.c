// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test of SNAPSHOT_LIVE_TRACK, to be run from init in one emulated machine:
 *
 *   track-test source      memory of every kind, written to in every way that there is: what
 *                          the kernel takes for unchanged must be what it has given
 *
 * /dev/vda has an ext4 file system, /dev/vdb one with inline data.
 *
 * Half of each kind is written to, the other half is left alone: that must be known to be
 * unchanged, where the kernel can, or the test would pass with a kernel that compares everything.
 */
#define _GNU_SOURCE
#include "track-kinds.h"
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/timerfd.h>

#define SWAP_BYTES	(16UL << 20)

/* Whatever the kernel says of a unit's pages, it has to be true. */
static void judge_subject(const struct subject *s, bool written_since)
{
	size_t wrong = 0, copied = 0, left_known = 0, written_known = 0;
	char what[128];

	for (size_t i = 0; i < pages_of(s); i++)
		wrong += !judge(&self, (uintptr_t)s->at + i * PAGE).right;
	for (size_t unit = 0; unit < UNITS; unit++) {
		unsigned int how = judge(&self, (uintptr_t)written_page(s, unit)).how;

		if (unit % 2)
			left_known += how == SNAPSHOT_CHECK_TRACKED;
		else
			written_known += how == SNAPSHOT_CHECK_TRACKED;
		copied += how == SNAPSHOT_CHECK_COPIED;
	}
	snprintf(what, sizeof(what), "%s: what is left out is what was given", s->kind->name);
	check(!wrong, what, (long)wrong);
	if (written_since) {
		snprintf(what, sizeof(what), "%s: what was written to is copied", s->kind->name);
		check(copied >= UNITS / 2, what, (long)copied);
	}
	if (s->kind->expected & LEFT_KNOWN) {
		snprintf(what, sizeof(what), "%s: what was left alone is known", s->kind->name);
		check(left_known == UNITS / 2, what, (long)left_known);
	}
	if (!written_since && s->kind->expected & WRITTEN_KNOWN) {
		snprintf(what, sizeof(what), "%s: what was given again is known", s->kind->name);
		check(written_known == UNITS / 2, what, (long)written_known);
	}
}

static void write_all(unsigned int version)
{
	for (size_t i = 0; i < SUBJECTS; i++)
		for (size_t unit = 0; unit < UNITS; unit += 2)
			subjects[i].kind->write(&subjects[i], written_page(&subjects[i], unit), version);
}

/* As judge(), in a machine that runs, of a page that nobody writes to. */
static bool was_given(const struct process *p, uintptr_t at)
{
	static uint64_t page[PAGE / sizeof(uint64_t)];
	uint64_t pfn = frame_of(p, at);

	if (!pfn)
		return true;
	if (pread(p->mem, page, PAGE, (off_t)at) != (ssize_t)PAGE)
		fatal("mem");
	return given[pfn] == digest(page);
}

/* After a round nobody has written to anything since it began. */
static void check_given(const char *when)
{
	for (size_t i = 0; i < SUBJECTS; i++) {
		const struct subject *s = &subjects[i];
		size_t wrong = 0;
		char what[128];

		for (size_t page = 0; page < pages_of(s); page++)
			wrong += !was_given(&self, (uintptr_t)s->at + page * PAGE);
		snprintf(what, sizeof(what), "%s: given as it is, %s", s->kind->name, when);
		check(!wrong, what, (long)wrong);
	}
}

/* The walk through page tables, and not much more: one frame is looked at. */
static void begin_round(int fd)
{
	struct snapshot_live io = {
		.size = sizeof(io), .flags = TRACK, .frames = (uintptr_t)frames,
		.data = (uintptr_t)data, .frames_max = 1, .data_max = 1,
	};

	if (ioctl(fd, SNAPSHOT_LIVE_READ, &io))
		fatal("SNAPSHOT_LIVE_READ");
	if (io.frames_nr)
		given[frames[0] & ~SNAPSHOT_FRAME_ZERO] =
			frames[0] & SNAPSHOT_FRAME_ZERO ? digest_of_zero() : digest(data);
}

/* The version says whether files are clean after it was written; see settle(). */
static void attempt(unsigned int version, bool write_again)
{
	int fd = live_begin();
	uint64_t pages = read_round(fd, TRACK), again = read_round(fd, TRACK);
	struct snapshot_delta delta;

	check(again < pages / 4, "the second round gives what has changed", (long)again);
	write_all(version);
	begin_round(fd);
	read_round(fd, TRACK);
	check_given("in the round after it was written");
	read_round(fd, TRACK);
	check_given("and in the next one");
	if (write_again)
		write_all(version + 1);
	delta = snapshot(fd);
	check(delta.tracked > delta.saveable / 8, "much is not compared", (long)delta.tracked);
	check(delta.tracked <= delta.sealed && delta.sealed <= delta.zero + delta.same,
	      "and is counted for this image alone", (long)delta.sealed);
	for (size_t i = 0; i < SUBJECTS; i++)
		judge_subject(&subjects[i], write_again);
	snapshot_end(fd);
	check(beats(), "the machine goes on", 0);
}

/*
 * A processor of its own writes to a page all the time, and never has a reason to look at the page
 * table again: each round must give the page.
 */
static void test_other_cpu(void)
{
	volatile uint64_t *page = (uint64_t *)map(PAGE, PROT_READ | PROT_WRITE,
						  MAP_PRIVATE | MAP_ANONYMOUS, -1);
	uint64_t pfn, before = 0;
	struct process p;
	pid_t child;
	int fd;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		return;
	child = fork();
	must(child >= 0, "fork");
	if (!child) {
		run_on(1);
		for (;;)
			page[0]++;
	}
	usleep(100000);
	p = process_open(child);
	pfn = frame_of(&p, (uintptr_t)page);
	must(pfn, "a page of the child");
	fd = live_begin();
	for (unsigned int i = 0; i < 5; i++) {
		read_round(fd, TRACK);
		check(given[pfn] != before, "written to by another processor: given", i);
		before = given[pfn];
	}
	close(fd);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/*
 * The ring of an AIO context is page cache that the kernel writes to by itself, from an interrupt and
 * without a mark.  Each of these is written to once, at its own time: before what can be compared early is
 * compared, after that, or when the image has been made.
 */
#define RINGS		256U
#define RING_STEP_NS	2000000ULL

struct aio_ring {
	aio_context_t context;	/* where it is mapped, too */
	int timer;
	uint64_t pfn, digest;
};

/* As the kernel makes it, for snapshot_check.digests. */
static uint64_t check_digest(const void *page)
{
	const uint64_t *words = page;
	uint64_t h = PAGE;

	for (size_t i = 0; i < PAGE / sizeof(*words); i++) {
		h = (h ^ words[i]) * 0x61c8864680b583ebULL;
		h ^= h >> 29;
	}
	return h & ~(uint64_t)SNAPSHOT_CHECK_HOW;
}

static void aio_ring_setup(struct aio_ring *r)
{
	struct iocb poll = { .aio_lio_opcode = IOCB_CMD_POLL, .aio_buf = POLLIN }, *list = &poll;

	r->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	poll.aio_fildes = (uint32_t)r->timer;
	must(r->timer >= 0 && !syscall(SYS_io_setup, 1, &r->context) &&
	     syscall(SYS_io_submit, r->context, 1, &list) == 1, "AIO");
	/* A look at it, so that this process has it in its page table. */
	check_digest((void *)r->context);
	r->pfn = frame_of(&self, r->context);
	must(r->pfn, "a frame of the ring");
}

static void aio_ring_arm(struct aio_ring *r, uint64_t after_ns)
{
	struct itimerspec when = { .it_value = { .tv_sec = (time_t)(after_ns / 1000000000),
						 .tv_nsec = (long)(after_ns % 1000000000) } };

	r->digest = check_digest((void *)r->context);
	must(!timerfd_settime(r->timer, 0, &when, NULL), "timer");
}

static void test_rings(void)
{
	static struct aio_ring rings[RINGS];
	unsigned int wrong = 0, copied = 0, came = 0;
	struct snapshot_delta delta;
	int fd = live_begin();

	for (unsigned int i = 0; i < RINGS; i++)
		aio_ring_setup(&rings[i]);
	read_round(fd, TRACK);
	read_round(fd, TRACK);
	for (unsigned int i = 0; i < RINGS; i++)
		aio_ring_arm(&rings[i], (i + 1) * RING_STEP_NS);
	must(try_snapshot(fd, &delta), "room");
	for (unsigned int i = 0; i < RINGS; i++) {
		uint64_t entry = checks_of[rings[i].pfn];

		if ((entry & SNAPSHOT_CHECK_HOW) == SNAPSHOT_CHECK_COPIED)
			copied++;
		else
			wrong += (entry & ~(uint64_t)SNAPSHOT_CHECK_HOW) != rings[i].digest;
	}
	check(!wrong, "rings of AIO: what is left out is what was given", wrong);
	check(copied && copied < RINGS, "some had been written to, some not", copied);
	snapshot_end(fd);
	for (unsigned int i = 0; i < RINGS; i++) {
		struct timespec limit = { .tv_sec = 2 };
		struct io_event event;

		came += syscall(SYS_io_getevents, rings[i].context, 1, 1, &event, &limit) == 1;
		syscall(SYS_io_destroy, rings[i].context);
		close(rings[i].timer);
	}
	check(came == RINGS, "every event comes", came);
}

static bool is_huge(const char *at)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	uint64_t flags = 0;

	must(fd >= 0 && pread(fd, &flags, 8, (off_t)frame_of(&self, (uintptr_t)at) * 8) == 8,
	     "kpageflags");
	close(fd);
	return flags & (1ULL << 22);
}

static void seed_setup(void)
{
	char *page = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	seed = open("/mnt/seed", O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
	must(seed >= 0, "seed");
	for (unsigned int i = 0; i < SEED_PAGES; i++) {
		fill(page, 5000 + i);
		must(write(seed, page, PAGE) == (ssize_t)PAGE, "seed");
	}
}

static int source(void)
{
	/* Per processor lists of pages that wait for something are all here. */
	run_on(0);
	track_setup();
	self = process_open(getpid());
	seed_setup();
	swap_on("/mnt/swap", SWAP_BYTES);
	for (size_t i = 0; i < SUBJECTS; i++) {
		subjects[i].kind = &kinds[i];
		kinds[i].setup(&subjects[i]);
		if (kinds[i].setup == huge_setup)
			check(is_huge(subjects[i].at), kinds[i].name, 0);
	}
	/* As after a time of use: nothing is in a list that is still to be worked off. */
	sync();
	attempt(1, true);
	attempt(3, false);
	attempt(4, true);
	attempt(SOFT_VERSION, false);
	attempt(SOFT_VERSION + 1, true);
	test_other_cpu();
	test_rings();
	for (size_t i = 0; i < SUBJECTS; i++)
		if (subjects[i].child)
			kill(subjects[i].child, SIGKILL);
	return 0;
}

int main(int argc, char **argv)
{
	pid_t child;
	int ret;

	if (argc != 2 || strcmp(argv[1], "source"))
		return 2;
	file_systems_on();
	child = start_heartbeat();
	ret = source();
	return finish(child) || ret;
}
