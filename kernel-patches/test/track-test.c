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
#include "track-bounce.h"
#include "track-kinds.h"
#include "track-noted.h"
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/socket.h>
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
static void begin_round(int fd, uint32_t flags)
{
	struct snapshot_live io = {
		.size = sizeof(io), .flags = flags, .frames = (uintptr_t)frames,
		.data = (uintptr_t)data, .frames_max = 1, .data_max = 1,
	};

	if (ioctl(fd, SNAPSHOT_LIVE_READ, &io))
		fatal("SNAPSHOT_LIVE_READ");
	if (io.frames_nr)
		given[frames[0] & ~SNAPSHOT_FRAME_ZERO] =
			frames[0] & SNAPSHOT_FRAME_ZERO ? digest_of_zero() : digest(data);
}

/*
 * The version says whether files are clean after it was written; see settle(). @last: flags of the
 * rounds after that.
 */
static void attempt(unsigned int version, bool write_again, uint32_t last)
{
	int fd = live_begin();
	uint64_t pages = read_round(fd, TRACK), again = read_round(fd, TRACK);
	struct snapshot_delta delta;

	check(again < pages / 4, "the second round gives what has changed", (long)again);
	write_all(version);
	begin_round(fd, last);
	read_round(fd, last);
	check_given("in the round after it was written");
	read_round(fd, last);
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
	uint64_t pfn, before;
};

static void aio_ring_setup(struct aio_ring *r)
{
	struct iocb poll = { .aio_lio_opcode = IOCB_CMD_POLL, .aio_buf = POLLIN }, *list = &poll;

	r->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	poll.aio_fildes = (uint32_t)r->timer;
	must(r->timer >= 0 && !syscall(SYS_io_setup, 1, &r->context) &&
	     syscall(SYS_io_submit, r->context, 1, &list) == 1, "AIO");
	/* A look at it, so that this process has it in its page table. */
	digest((void *)r->context);
	r->pfn = frame_of(&self, r->context);
	must(r->pfn, "a frame of the ring");
}

static void aio_ring_arm(struct aio_ring *r, uint64_t after_ns)
{
	struct itimerspec when = { .it_value = { .tv_sec = (time_t)(after_ns / 1000000000),
						 .tv_nsec = (long)(after_ns % 1000000000) } };

	r->before = digest((void *)r->context);
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

		if (how_of(rings[i].pfn) == SNAPSHOT_CHECK_COPIED)
			copied++;
		else
			wrong += (entry & ~(uint64_t)SNAPSHOT_CHECK_HOW) != rings[i].before;
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

/* Frames of a line in /proc/iomem, as far as they have become this. */
static unsigned long count_in(const char *name, unsigned int how, unsigned long *all)
{
	FILE *f = fopen("/proc/iomem", "re");
	unsigned long from, to, nr = 0;
	char line[128];

	*all = 0;
	must(f, "/proc/iomem");
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, name) || sscanf(line, " %lx-%lx", &from, &to) != 2)
			continue;
		for (uint64_t pfn = from / PAGE; pfn < to / PAGE; pfn++)
			nr += how_of(pfn) == how;
		*all += to / PAGE - from / PAGE;
	}
	fclose(f);
	return nr;
}

/* Reserved frames that are not the kernel's own: nearly all are the array of struct page. */
static unsigned long count_reserved(unsigned int how)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	unsigned long nr = 0, all;
	uint64_t flags = 0;

	for (uint64_t pfn = 0; pfn < FRAMES_MAX; pfn++)
		if (how_of(pfn) == how && pread(fd, &flags, 8, (off_t)pfn * 8) == 8)
			nr += flags >> 32 & 1;
	close(fd);
	return nr - count_in("Kernel code", how, &all) - count_in("Kernel rodata", how, &all);
}

/* Without jump labels, what a kernel decides seldom is a branch like all others. */
static bool code_can_change(void)
{
	FILE *f = fopen("/proc/kallsyms", "re");
	char line[256];
	bool found = false;

	must(f, "/proc/kallsyms");
	while (!found && fgets(line, sizeof(line), f))
		found = strstr(line, " static_key_enable\n");
	fclose(f);
	return found;
}

/* A part of the kernel's code is changed, and changed back when it is closed. */
static int change_code(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;

	must(fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)), "SO_TIMESTAMP");
	/* A worker of the kernel does it. */
	usleep(200000);
	return fd;
}

/* Code of the kernel, and its array of struct page. */
static void test_kernel(void)
{
	unsigned long frames_nr = (unsigned long)sysconf(_SC_PHYS_PAGES), code, tracked, array;
	uint64_t saveable;
	int fd = live_begin(), changed;
	char *late;

	late = make_holes();
	read_round(fd, TRACK);
	fill_late(late);
	/* The first of these gives them, and nobody touches them in the last. */
	for (unsigned int i = 0; i < 3; i++)
		read_round(fd, TRACK);
	saveable = snapshot(fd).saveable;
	tracked = count_in("Kernel code", SNAPSHOT_CHECK_TRACKED, &code);
	check(tracked > code * 9 / 10, "code that nobody has changed is known", (long)tracked);
	array = count_reserved(SNAPSHOT_CHECK_TRACKED);
	check(array > frames_nr * 64 / PAGE / 2, "most of the array of struct page is known",
	      (long)array);
	check(count_reserved(SNAPSHOT_CHECK_COPIED) > 0, "what was written to there is copied", 0);
	check(noted_words() > (long)saveable / 64 / 4, "many words of frames are not looked at",
	      noted_words());
	snapshot_end(fd);
	munmap(late, LATE_PAGES * PAGE);

	fd = live_begin();
	read_round(fd, TRACK);
	read_round(fd, TRACK);
	changed = change_code();
	snapshot(fd);
	tracked = count_in("Kernel code", SNAPSHOT_CHECK_COPIED, &code);
	if (code_can_change())
		check(tracked > 0, "changed code is copied", (long)tracked);
	else
		check(!tracked, "code of this kernel never changes", (long)tracked);
	snapshot_end(fd);
	close(changed);
	check(beats(), "the machine goes on", 0);
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

static size_t count_unit(const struct subject *s, size_t unit, unsigned int how)
{
	size_t nr = 0;

	for (size_t i = 0; i < s->unit_pages; i++)
		nr += judge(&self, (uintptr_t)s->at + (unit * s->unit_pages + i) * PAGE).how == how;
	return nr;
}

/*
 * A huge page that is written to, in rounds with @flags, and once more after the last one; all of
 * them are looked at then, but for one with entries of their own. Another one is left alone.
 */
static void try_split(struct subject *s, uint32_t flags, size_t known)
{
	int fd = live_begin();
	size_t tracked;

	read_round(fd, TRACK);
	read_round(fd, TRACK);
	fill(written_page(s, 0), 11);
	read_round(fd, flags);
	fill(written_page(s, 0), 12);
	snapshot(fd);
	tracked = count_unit(s, 0, SNAPSHOT_CHECK_TRACKED);
	check(tracked == known, "pages known beside the one that was written to", (long)tracked);
	check(count_unit(s, 0, SNAPSHOT_CHECK_COPIED) == 1, "that one is copied", 0);
	tracked = count_unit(s, 1, SNAPSHOT_CHECK_TRACKED);
	check(tracked == HUGE_PAGES, "of another one all are known", (long)tracked);
	snapshot_end(fd);
}

static void test_split(void)
{
	struct subject s = { 0 };
	struct snapshot_live io = { .size = sizeof(io), .flags = SNAPSHOT_LIVE_SPLIT };
	int fd = live_begin();

	check(ioctl(fd, SNAPSHOT_LIVE_READ, &io) == -1 && errno == EINVAL,
	      "SNAPSHOT_LIVE_SPLIT goes with SNAPSHOT_LIVE_TRACK only", 0);
	close(fd);
	huge_setup(&s);
	check(is_huge(s.at), "a huge page", 0);
	try_split(&s, TRACK, 0);
	try_split(&s, SPLIT, HUGE_PAGES - 1);
	check(is_huge(s.at), "it is the same page still", 0);
	check(beats(), "the machine goes on", 0);
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
	attempt(1, true, TRACK);
	attempt(3, false, TRACK);
	files_still = true;
	attempt(4, true, TRACK);
	files_still = false;
	attempt(SOFT_VERSION, false, TRACK);
	files_still = true;
	attempt(SOFT_VERSION + 1, true, TRACK);
	attempt(SOFT_VERSION + 4, false, TRACK);
	files_still = false;
	attempt(SOFT_VERSION + 6, true, SPLIT);
	attempt(SOFT_VERSION + 8, false, SPLIT);
	test_other_cpu();
	test_rings();
	test_kernel();
	test_split();
	test_bounce_buffers();
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
