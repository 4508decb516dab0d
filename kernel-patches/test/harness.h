/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of /dev/snapshot share. Output is TAP. */
#ifndef SNAPSHOT_HARNESS_H
#define SNAPSHOT_HARNESS_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <linux/types.h>
#include "suspend_ioctls.h"

#define PAGE		4096UL
#define DISK		"/dev/vda"

static unsigned int failures, checks;
static volatile uint64_t *heartbeat;	/* counted up by a child */

static void check(bool good, const char *what, long got)
{
	checks++;
	if (!good)
		failures++;
	printf("%s %u - %s (%ld)\n", good ? "ok" : "not ok", checks, what, got);
	fflush(stdout);
}

/* Result of a system call as the kernel gave it. */
static inline long result(long ret)
{
	return ret < 0 ? -errno : ret;
}

#define EXPECT(call, want) do {						\
	long got_ = result(call);					\
	check(got_ == (want), #call " gives " #want, got_);		\
} while (0)

static inline double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void fatal(const char *what)
{
	printf("Bail out! %s: %m\n", what);
	fflush(stdout);
	exit(1);
}

static inline void must(bool good, const char *what)
{
	if (!good)
		fatal(what);
}

static inline int device(int mode)
{
	int fd = open("/dev/snapshot", mode | O_CLOEXEC);

	if (fd < 0)
		fatal("/dev/snapshot");
	return fd;
}

/* All there from the start: nothing can be reclaimed for it while processes are frozen. */
static inline void *pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	must(p != MAP_FAILED && !mlock(p, size), "mmap");
	return p;
}

static bool beats(void)
{
	uint64_t before = *heartbeat;

	usleep(100000);
	return *heartbeat != before;
}

/* Starts what beats() looks at: a child that goes on as long as the machine does. */
static pid_t start_heartbeat(void)
{
	pid_t child;

	heartbeat = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (heartbeat == MAP_FAILED)
		fatal("mmap");
	child = fork();
	if (child)
		return child;
	for (;;) {
		(*heartbeat)++;
		usleep(1000);
	}
}

/* What each step of the last cycle took. */
static inline void phase_times(int fd)
{
	struct snapshot_phases p = { .size = sizeof(p) };
	static const unsigned int order[] = { 0, 1, 2, 3, 4, 25, 5, 6, 7, 8, 9, 10, 11, 12, 13,
					      14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24 };
	uint64_t last = 0;

	if (ioctl(fd, SNAPSHOT_GET_PHASES, &p))
		fatal("SNAPSHOT_GET_PHASES");
	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
		uint64_t at = p.cycles[order[i]];

		if (at && last)
			printf("# phase %2u +%.3f ms\n", order[i],
			       (double)(int64_t)(at - last) / p.cycles_khz);
		if (at)
			last = at;
	}
}

/* What a machine does, by its role on the kernel command line. */
static inline int play(const char *role, int (*source)(void), int (*target)(void))
{
	if (!strcmp(role, "source"))
		return source();
	return strcmp(role, "target") ? 1 : target();
}

/* The last lines of a machine's output. */
static int finish(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	printf("1..%u\ndone, %u failures\n", checks, failures);
	fflush(stdout);
	return failures > 0;
}

#endif
