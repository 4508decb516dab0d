// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stress of SNAPSHOT_LIVE_TRACK, to be run from init in one emulated machine:
 *
 *   track-stress source    processes do at random what processes do with memory, some of it swapped
 *                          out, while rounds are read; nothing that they wrote may be lost
 *                          to them, and what a snapshot takes for unchanged must be what was given
 *
 * Disks as for track-test. The seed of the random numbers is printed, and may be given as `seed=`
 * in the environment, which is where init has it from the kernel command line.
 */
#define _GNU_SOURCE
#include "track.h"
#include <sys/prctl.h>

#define WORKERS		3
#define WORK_PAGES	8192UL
#define FILE_PAGES	256UL
#define WORDS		(PAGE / sizeof(uint64_t))
#define ATTEMPTS	4
#define ROUNDS		6
#define SWAP_BYTES	(256UL << 20)

/* What a worker knows of its pages; not among them, since these are tracked. */
struct knowledge {
	volatile uint64_t stop, stopped, operations, wrong;
	uint64_t version[WORK_PAGES];
	uint64_t count[WORK_PAGES];	/* of stores to the page's first word, on top of it */
	uint64_t file_version[FILE_PAGES];
};

struct worker {
	struct knowledge *knowledge;
	char *at;		/* WORK_PAGES, in the worker */
	const char *mapped;	/* the file, in the worker */
	int file;
	unsigned int random;
	bool forks;
};

static unsigned int pick(struct worker *w, unsigned int below)
{
	return (unsigned int)rand_r(&w->random) % below;
}

static uint64_t word(size_t page, uint64_t version, size_t i)
{
	return (page << 40 ^ version << 16 ^ i) * 0x9e3779b97f4a7c15ULL;
}

static void fill(uint64_t *to, size_t page, uint64_t version)
{
	for (size_t i = 0; i < WORDS; i++)
		to[i] = word(page, version, i);
}

static uint64_t *page_at(const struct worker *w, size_t page)
{
	return (uint64_t *)(w->at + page * PAGE);
}

static bool is_right(const struct worker *w, size_t page)
{
	const struct knowledge *k = w->knowledge;
	const uint64_t *words = page_at(w, page);

	if (words[0] != word(page, k->version[page], 0) + k->count[page])
		return false;
	for (size_t i = 1; i < WORDS; i++)
		if (words[i] != word(page, k->version[page], i))
			return false;
	return true;
}

static void store(struct worker *w, size_t page)
{
	fill(page_at(w, page), page, ++w->knowledge->version[page]);
	w->knowledge->count[page] = 0;
}

/* No system call in this, so what the processor remembers of page tables stays as long as it can. */
static void store_hot(struct worker *w, size_t page)
{
	for (unsigned int i = 0; i < 20000; i++) {
		volatile uint64_t *words = page_at(w, (page + i % 16) % WORK_PAGES);

		words[0]++;
		w->knowledge->count[(page + i % 16) % WORK_PAGES]++;
	}
}

/* The child writes to what it was given, and lets go of it, which is not the parent's. */
static void fork_and_store(struct worker *w, size_t page)
{
	pid_t child = fork();

	must(child >= 0, "fork");
	if (!child) {
		for (size_t i = 0; i < 64; i++) {
			uint64_t *at = page_at(w, (page + i) % WORK_PAGES);

			if (i % 2 || madvise(at, PAGE, MADV_FREE))
				memset(at, 0x77, PAGE);
		}
		_exit(0);
	}
	for (size_t i = 0; i < 32; i++)
		store(w, (page + i) % WORK_PAGES);
	waitpid(child, NULL, 0);
}

static void move(struct worker *w, size_t page)
{
	char *at = w->at + page * PAGE, *place;

	place = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(place != MAP_FAILED &&
	     mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place &&
	     mremap(place, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at, "mremap");
}

/* A huge page that comes and goes, so that frames change their owner. */
static void huge(struct worker *w)
{
	size_t bytes = 4UL << 20;
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(at != MAP_FAILED, "mmap");
	madvise(at, bytes, MADV_HUGEPAGE);
	memset(at, (int)pick(w, 256), bytes);
	munmap(at, bytes);
}

static void file_store(struct worker *w, size_t page)
{
	static uint64_t words[WORDS];
	uint64_t *version = &w->knowledge->file_version[page];
	size_t from = pick(w, 2) ? 0 : WORDS / 2;

	/* One half is enough to make it dirty; the other half follows. */
	fill(words, page, ++*version);
	must(pwrite(w->file, words + from, PAGE / 2, (off_t)(page * PAGE + from * 8)) ==
	     (ssize_t)PAGE / 2, "pwrite");
	from = WORDS / 2 - from;
	must(pwrite(w->file, words + from, PAGE / 2, (off_t)(page * PAGE + from * 8)) ==
	     (ssize_t)PAGE / 2, "pwrite");
	if (!pick(w, 8))
		must(!fdatasync(w->file), "fdatasync");
	if (!pick(w, 64))
		posix_fadvise(w->file, 0, 0, POSIX_FADV_DONTNEED);
}

static void operate(struct worker *w)
{
	size_t page = pick(w, WORK_PAGES), run = pick(w, 64) + 1;
	char *at = w->at + page * PAGE;

	if (page + run > WORK_PAGES)
		run = WORK_PAGES - page;
	if (!is_right(w, page))
		w->knowledge->wrong++;
	switch (pick(w, 12)) {
	case 0:
		madvise(at, run * PAGE, MADV_PAGEOUT);
		break;
	case 1:
		madvise(at, PAGE, MADV_FREE);
		store(w, page);
		break;
	case 2:
		must(!mprotect(at, run * PAGE, PROT_READ) &&
		     !mprotect(at, run * PAGE, PROT_READ | PROT_WRITE), "mprotect");
		break;
	case 3:
		move(w, page);
		break;
	case 4:
		/* What was shared is not known until it is written to, so not by all. */
		if (w->forks && !pick(w, 8))
			fork_and_store(w, page);
		break;
	case 5:
		if (!pick(w, 16))
			huge(w);
		break;
	case 6:
	case 7:
		file_store(w, pick(w, FILE_PAGES));
		break;
	case 8:
		store_hot(w, page);
		break;
	default:
		for (size_t i = 0; i < run; i++)
			store(w, page + i);
	}
	w->knowledge->operations++;
}

static void verify_all(struct worker *w)
{
	static uint64_t words[WORDS], want[WORDS];

	for (size_t page = 0; page < WORK_PAGES; page++)
		w->knowledge->wrong += !is_right(w, page);
	for (size_t page = 0; page < FILE_PAGES; page++) {
		fill(want, page, w->knowledge->file_version[page]);
		must(pread(w->file, words, PAGE, (off_t)(page * PAGE)) == (ssize_t)PAGE, "pread");
		w->knowledge->wrong += memcmp(words, want, PAGE) != 0;
		w->knowledge->wrong += memcmp(w->mapped + page * PAGE, want, PAGE) != 0;
	}
}

static void setup(struct worker *w, unsigned int number, unsigned int seed)
{
	static uint64_t words[WORDS];
	char path[32];

	w->random = seed + number;
	w->forks = number == 0;
	w->knowledge = pages(sizeof(*w->knowledge));
	w->at = mmap(NULL, WORK_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	must(w->at != MAP_FAILED, "mmap");
	snprintf(path, sizeof(path), "/mnt/stress-%u", number);
	w->file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(w->file >= 0, path);
	for (size_t page = 0; page < FILE_PAGES; page++) {
		fill(words, page, 0);
		must(write(w->file, words, PAGE) == (ssize_t)PAGE, path);
	}
	w->mapped = mmap(NULL, FILE_PAGES * PAGE, PROT_READ, MAP_SHARED, w->file, 0);
	must(w->mapped != MAP_FAILED, "mmap");
}

/* @fd: of the snapshot device, which its owner has to close for good. */
static pid_t start(struct worker *w)
{
	pid_t child = fork();

	must(child >= 0, "fork");
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t page = 0; page < WORK_PAGES; page++)
		store(w, page);
	while (!w->knowledge->stop)
		operate(w);
	verify_all(w);
	w->knowledge->stopped = 1;
	for (;;)
		pause();
}

/* What is left out of the image at hand, of one worker's memory. */
static void judge_worker(const struct worker *w, pid_t pid, size_t *wrong, size_t *tracked)
{
	struct process p = process_open(pid);
	const uintptr_t areas[] = { (uintptr_t)w->at, (uintptr_t)w->mapped };
	const size_t sizes[] = { WORK_PAGES, FILE_PAGES };

	for (size_t area = 0; area < 2; area++)
		for (size_t page = 0; page < sizes[area]; page++) {
			struct verdict v = judge(&p, areas[area] + page * PAGE);

			*wrong += !v.right;
			*tracked += v.how == SNAPSHOT_CHECK_TRACKED;
		}
	close(p.pagemap);
	close(p.mem);
}

static int source(unsigned int seed)
{
	struct worker workers[WORKERS];
	pid_t pids[WORKERS];

	printf("# seed=%u\n", seed);
	track_setup();
	swap_on("/mnt/swap", SWAP_BYTES);
	for (unsigned int i = 0; i < WORKERS; i++) {
		setup(&workers[i], i, seed);
		pids[i] = start(&workers[i]);
	}
	must(!mlockall(MCL_CURRENT | MCL_ONFAULT), "mlockall");
	for (unsigned int i = 0; i < ATTEMPTS; i++) {
		int fd = live_begin();
		size_t wrong = 0, tracked = 0;
		uint64_t pages = 0;

		for (unsigned int round = 0; round < ROUNDS; round++)
			pages += read_round(fd, TRACK);
		files_still = i % 2;
		snapshot(fd);
		for (unsigned int j = 0; j < WORKERS; j++)
			judge_worker(&workers[j], pids[j], &wrong, &tracked);
		printf("# %llu pages given\n", (unsigned long long)pages);
		check(!wrong, "what is left out is what was given", (long)wrong);
		check(tracked > WORKERS * WORK_PAGES / 64, "some of it is known", (long)tracked);
		snapshot_end(fd);
	}
	for (unsigned int i = 0; i < WORKERS; i++) {
		struct knowledge *k = workers[i].knowledge;

		k->stop = 1;
		while (!k->stopped && !waitpid(pids[i], NULL, WNOHANG))
			usleep(1000);
		check(k->stopped && k->operations > 100, "a worker worked", (long)k->operations);
		check(!k->wrong, "nothing that it wrote is lost", (long)k->wrong);
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *seed = getenv("seed");
	pid_t child;
	int ret;

	if (argc != 2 || strcmp(argv[1], "source"))
		return 2;
	file_systems_on();
	child = start_heartbeat();
	ret = source(seed ? (unsigned int)atoi(seed) : (unsigned int)time(NULL));
	check(beats(), "the machine goes on", 0);
	return finish(child) || ret;
}
