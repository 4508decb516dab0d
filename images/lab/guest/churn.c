// SPDX-License-Identifier: GPL-2.0-only
/*
 * churn: changes every kind of memory that a move has to carry, and checks it all the time.
 *
 * One process a kind. Each writes words that say where they are and in which pass they were
 * written, rests for a moment, and looks whether they are all there: a page that arrives old, in
 * the wrong place or not at all is found in the next pass. The first wrong word ends everything
 * with exit 1, so that the unit fails.
 *
 *     churn [DIRECTORY]      a directory on a disk, for files
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE_BYTES	  4096u
#define HUGE_BYTES	  (2u << 20)
#define BLOCK_BYTES	  (1u << 20)
#define FILE_BYTES	  (4u << 20)
#define THREADS		  16
#define FILTER_LENGTH	  BPF_MAXINSNS

/* Long enough that most moves catch a kind at rest and some in the middle of its work. */
#define REST_MS 80

static const char *directory = "/var/tmp";

static _Noreturn void fail(const char *kind, const char *what)
{
	fprintf(stderr, "churn: %s: %s: %s\n", kind, what, strerror(errno));
	exit(1);
}

static void rest(void)
{
	const struct timespec pause = {.tv_nsec = REST_MS * 1000000L};

	nanosleep(&pause, NULL);
}

static uint64_t word(uint64_t pass, size_t index)
{
	return (pass << 32 | index) * 0x9e3779b97f4a7c15u;
}

static void write_words(void *memory, size_t bytes, uint64_t pass)
{
	uint64_t *words = memory;

	for (size_t i = 0; i < bytes / sizeof(*words); i++)
		words[i] = word(pass, i);
}

static void check_words(const char *kind, const void *memory, size_t bytes, uint64_t pass)
{
	const uint64_t *words = memory;

	for (size_t i = 0; i < bytes / sizeof(*words); i++) {
		if (words[i] == word(pass, i))
			continue;
		fprintf(stderr, "churn: %s: pass %llu, byte %zu: %016llx, not %016llx\n", kind,
			(unsigned long long)pass, i * sizeof(*words), (unsigned long long)words[i],
			(unsigned long long)word(pass, i));
		exit(1);
	}
}

static void check_zero(const char *kind, const char *memory, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
		errno = EILSEQ;
		if (*(const uint64_t *)(const void *)(memory + i))
			fail(kind, "a fresh page is not zero");
	}
}

static void *map(const char *kind, size_t bytes, int flags, int fd)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED)
		fail(kind, "mmap");
	return memory;
}

/* Keeps its name: e2fsck looks at the disk while we run, and takes a file without one for damage.
 */
static int scratch_file(const char *kind, int flags)
{
	char path[4096];
	int fd;

	if (snprintf(path, sizeof(path), "%s/churn.%s", directory, kind) >= (int)sizeof(path))
		fail(kind, directory);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | flags, 0600);
	if (fd < 0)
		fail(kind, path);
	return fd;
}

static void write_all(const char *kind, int fd, const char *from, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t put = pwrite(fd, from + done, bytes - done, (off_t)done);

		if (put <= 0)
			fail(kind, "write");
		done += (size_t)put;
	}
}

static void read_all(const char *kind, int fd, char *to, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t got = pread(fd, to + done, bytes - done, (off_t)done);

		if (got <= 0)
			fail(kind, "read");
		done += (size_t)got;
	}
}

/* Page cache, dirty and clean, written by calls and read through a mapping. */
static void churn_file(const char *kind)
{
	char *buffer = map(kind, FILE_BYTES, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int fd = scratch_file(kind, 0);
	char *mapped;

	if (ftruncate(fd, FILE_BYTES))
		fail(kind, "ftruncate");
	mapped = map(kind, FILE_BYTES, MAP_SHARED, fd);
	for (uint64_t pass = 1;; pass++) {
		write_words(buffer, FILE_BYTES, pass);
		write_all(kind, fd, buffer, FILE_BYTES);
		if (pass % 4 == 0 && fdatasync(fd))
			fail(kind, "fdatasync");
		rest();
		check_words(kind, mapped, FILE_BYTES, pass);
		/* A store of our own makes the page dirty by its table entry alone. */
		write_words(mapped, FILE_BYTES / 2, pass + 1);
		rest();
		check_words(kind, mapped, FILE_BYTES / 2, pass + 1);
	}
}

/* The disk's DMA writes into our pages; no CPU does. */
static void churn_direct(const char *kind)
{
	char *buffer = map(kind, BLOCK_BYTES, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int fd = scratch_file(kind, O_DIRECT);

	for (uint64_t pass = 1;; pass++) {
		write_words(buffer, BLOCK_BYTES, pass);
		write_all(kind, fd, buffer, BLOCK_BYTES);
		memset(buffer, 0, BLOCK_BYTES);
		read_all(kind, fd, buffer, BLOCK_BYTES);
		rest();
		check_words(kind, buffer, BLOCK_BYTES, pass);
	}
}

static void churn_anonymous(const char *kind)
{
	char *memory = map(kind, FILE_BYTES, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	for (uint64_t pass = 1;; pass++) {
		write_words(memory, FILE_BYTES, pass);
		rest();
		check_words(kind, memory, FILE_BYTES, pass);
		if (pass % 4)
			continue;
		if (madvise(memory, FILE_BYTES, MADV_DONTNEED))
			fail(kind, "madvise");
		rest();
		check_zero(kind, memory, FILE_BYTES);
	}
}

/* Huge pages, split and made anew. */
static void churn_huge(const char *kind)
{
	char *room = map(kind, 3 * HUGE_BYTES, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	char *memory = room + (HUGE_BYTES - (uintptr_t)room % HUGE_BYTES) % HUGE_BYTES;

	if (madvise(memory, 2 * HUGE_BYTES, MADV_HUGEPAGE))
		fail(kind, "madvise");
	for (uint64_t pass = 1;; pass++) {
		write_words(memory, 2 * HUGE_BYTES, pass);
		rest();
		check_words(kind, memory, 2 * HUGE_BYTES, pass);
		if (pass % 4 == 0 && madvise(memory + HUGE_BYTES, PAGE_BYTES, MADV_DONTNEED))
			fail(kind, "split");
		if (pass % 8 == 0 && madvise(memory, 2 * HUGE_BYTES, MADV_DONTNEED))
			fail(kind, "free");
	}
}

/* Two processes share pages until one writes. */
static void churn_cow(const char *kind)
{
	char *memory = map(kind, BLOCK_BYTES, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	for (uint64_t pass = 1;; pass++) {
		int status;
		pid_t child;

		write_words(memory, BLOCK_BYTES, pass);
		child = fork();
		if (child < 0)
			fail(kind, "fork");
		if (child == 0) {
			rest();
			write_words(memory, BLOCK_BYTES / 2, ~pass);
			rest();
			check_words(kind, memory, BLOCK_BYTES / 2, ~pass);
			_exit(0);
		}
		rest();
		check_words(kind, memory, BLOCK_BYTES, pass);
		errno = ECHILD;
		if (waitpid(child, &status, 0) != child || status)
			fail(kind, "child");
		check_words(kind, memory, BLOCK_BYTES, pass);
	}
}

/* Pages that belong to a file and have no disk. */
static void churn_tmpfs(const char *kind)
{
	char *buffer = map(kind, FILE_BYTES, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int fd = memfd_create(kind, MFD_CLOEXEC);

	if (fd < 0)
		fail(kind, "memfd_create");
	for (uint64_t pass = 1;; pass++) {
		write_words(buffer, FILE_BYTES, pass);
		write_all(kind, fd, buffer, FILE_BYTES);
		memset(buffer, 0, FILE_BYTES);
		rest();
		read_all(kind, fd, buffer, FILE_BYTES);
		check_words(kind, buffer, FILE_BYTES, pass);
		if (ftruncate(fd, (off_t)(pass % 3 * BLOCK_BYTES)))
			fail(kind, "ftruncate");
	}
}

/*
 * A socket filter lies in vmalloc memory. This one is as long as can be, and lets a packet pass
 * only if every instruction adds what it should.
 */
static void churn_vmalloc(const char *kind)
{
	static struct sock_filter code[FILTER_LENGTH];
	const struct sock_fprog program = {.len = FILTER_LENGTH, .filter = code};
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
		fail(kind, "socketpair");
	for (uint32_t pass = 1;; pass++) {
		uint32_t sum = 0;
		char got;

		code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, 0);
		for (size_t i = 1; i < FILTER_LENGTH - 3; i++) {
			uint32_t add = pass * (uint32_t)i;

			code[i] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, add);
			sum += add;
		}
		code[FILTER_LENGTH - 3] =
		    (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, sum, 0, 1);
		code[FILTER_LENGTH - 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, PAGE_BYTES);
		code[FILTER_LENGTH - 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
		if (setsockopt(ends[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
			fail(kind, "filter");
		rest();
		if (write(ends[0], "x", 1) != 1 || read(ends[1], &got, 1) != 1)
			fail(kind, "the filter drops what it must let pass");
		if (setsockopt(ends[1], SOL_SOCKET, SO_DETACH_FILTER, &program, sizeof(program)))
			fail(kind, "detach");
	}
}

struct runner {
	pthread_t thread;
	int in, out;
};

/* Waits deep in the kernel, and hands on what it gets. */
static void *run(void *data)
{
	struct runner *runner = data;
	uint64_t token = 0;

	if (read(runner->in, &token, sizeof(token)) != sizeof(token))
		return runner;
	token++;
	return write(runner->out, &token, sizeof(token)) == sizeof(token) ? NULL : runner;
}

/* Kernel stacks, with their task structures and pipes: new ones in each pass. */
static void churn_stacks(const char *kind)
{
	struct runner runners[THREADS];
	int pipes[THREADS + 1][2];

	for (uint64_t pass = 1;; pass++) {
		uint64_t token = pass;
		void *wrong;

		for (size_t i = 0; i <= THREADS; i++)
			if (pipe2(pipes[i], O_CLOEXEC))
				fail(kind, "pipe");
		for (size_t i = 0; i < THREADS; i++) {
			runners[i].in = pipes[i][0];
			runners[i].out = pipes[i + 1][1];
			errno = pthread_create(&runners[i].thread, NULL, run, &runners[i]);
			if (errno)
				fail(kind, "thread");
		}
		rest();
		if (write(pipes[0][1], &token, sizeof(token)) != sizeof(token) ||
		    read(pipes[THREADS][0], &token, sizeof(token)) != sizeof(token))
			fail(kind, "token");
		errno = EILSEQ;
		if (token != pass + THREADS)
			fail(kind, "the token is wrong");
		for (size_t i = 0; i < THREADS; i++)
			if (pthread_join(runners[i].thread, &wrong) || wrong)
				fail(kind, "join");
		for (size_t i = 0; i <= THREADS; i++) {
			close(pipes[i][0]);
			close(pipes[i][1]);
		}
	}
}

static const struct {
	const char *name;
	void (*churn)(const char *kind);
} kinds[] = {
    {"file", churn_file},	{"direct", churn_direct}, {"anonymous", churn_anonymous},
    {"huge", churn_huge},	{"cow", churn_cow},	  {"tmpfs", churn_tmpfs},
    {"vmalloc", churn_vmalloc}, {"stacks", churn_stacks},
};

int main(int count, char **words)
{
	pid_t parent = getpid();

	if (count > 2) {
		fprintf(stderr, "usage: churn [DIRECTORY]\n");
		return 2;
	}
	if (count > 1)
		directory = words[1];
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		pid_t child = fork();

		if (child < 0)
			fail(kinds[i].name, "fork");
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			/* Too late for that? */
			if (getppid() != parent)
				return 1;
			prctl(PR_SET_NAME, kinds[i].name);
			kinds[i].churn(kinds[i].name);
		}
	}
	/* None of them ends but by a fault; the others go with us. */
	wait(NULL);
	return 1;
}
