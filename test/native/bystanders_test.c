// SPDX-License-Identifier: GPL-2.0-only
/* Who reads a certain file and who is our agent stand back, and come back, whoever does it. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "source/guard.h"
#include "test.h"

#define LIMIT_MS 5000

static char file[64];
static const char *const files[] = {file};

/* Its own session, so that it has its own group as well. It has the file open if it is told to. */
static pid_t start(bool reads, int nice)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		setsid();
		setpriority(PRIO_PROCESS, 0, nice);
		if ((reads && open(file, O_RDONLY) < 0) || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (pid < 0 || read(ready[0], &byte, 1) != 1)
		abort();
	close(ready[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static bool has(const struct bystanders *b, pid_t pid)
{
	for (uint32_t i = 0; i < b->count; i++)
		if (b->list[i].pid == pid)
			return true;
	return false;
}

static int nice_of(pid_t pid)
{
	return getpriority(PRIO_PROCESS, (id_t)pid);
}

static void test_all(void)
{
	static struct bystanders b;
	pid_t reader = start(true, 3), other = start(false, 0), agent = start(false, -10);
	struct niceness before = niceness_of(reader);

	bystanders_find(&b, files, ARRAY_SIZE(files), agent, clock_deadline_ms(LIMIT_MS));
	CHECK(has(&b, reader) && has(&b, agent) && !has(&b, other) && !has(&b, getpid()),
	      "the reader and the agent are found (%u)", b.count);
	CHECK(nice_of(reader) == 3 && nice_of(agent) == -10, "and left alone");
	bystanders_stand_back(&b);
	CHECK(nice_of(reader) == NICE_MOST && nice_of(agent) == NICE_MOST && nice_of(other) == 0,
	      "they stand back, and nobody else");
	CHECK(before.group == NICE_NONE || niceness_of(reader).group == NICE_MOST,
	      "so does the group of a session (%d)", niceness_of(reader).group);
	bystanders_stand_back(&b);
	bystanders_return(&b);
	CHECK(nice_of(reader) == 3 && nice_of(agent) == -10, "told twice they come back once");
	CHECK(niceness_of(reader).group == before.group, "with their group");
	setpriority(PRIO_PROCESS, (id_t)reader, 5);
	bystanders_return(&b);
	CHECK(nice_of(reader) == 5, "who has come back is left alone");
	end(agent);
	bystanders_stand_back(&b);
	CHECK(nice_of(reader) == NICE_MOST, "one that has ended keeps nobody from it");
	bystanders_return(&b);
	CHECK(nice_of(reader) == 5, "nor from coming back");
	bystanders_find(&b, files, ARRAY_SIZE(files), 0, clock_ns());
	CHECK(b.count == 0, "nobody is found after the deadline");
	end(reader);
	end(other);
}

static void *idle(void *ready)
{
	setpriority(PRIO_PROCESS, (id_t)gettid(), 7);
	atomic_store((_Atomic bool *)ready, true);
	while (pause() < 0)
		;
	return NULL;
}

/* What each thread was cannot be remembered, so who has different ones is left alone. */
static void test_threads(void)
{
	static struct bystanders b;
	static _Atomic bool ready;
	int pipes[2];
	char byte;
	pid_t reader;

	if (pipe(pipes) < 0)
		abort();
	reader = fork();
	if (reader == 0) {
		pthread_t thread;

		if (open(file, O_RDONLY) < 0 || pthread_create(&thread, NULL, idle, &ready))
			_exit(1);
		while (!atomic_load(&ready))
			clock_sleep_ms(1);
		if (write(pipes[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(pipes[1]);
	if (reader < 0 || read(pipes[0], &byte, 1) != 1)
		abort();
	close(pipes[0]);
	bystanders_find(&b, files, ARRAY_SIZE(files), 0, clock_deadline_ms(LIMIT_MS));
	CHECK(has(&b, reader) && niceness_of(reader).threads == NICE_NONE, "threads that differ");
	bystanders_stand_back(&b);
	CHECK(nice_of(reader) == 0, "stay as they are");
	bystanders_return(&b);
	CHECK(nice_of(reader) == 0, "afterwards, too");
	end(reader);
	CHECK(niceness_of(reader).threads == NICE_NONE,
	      "of a process that is gone nothing is known");
}

/* The helper dies without a word, and the guard brings them back. */
static void test_guard(enum guard_order order, const char *when)
{
	pid_t reader = start(true, 0), helper;
	int result, nice = NICE_MOST;

	helper = fork();
	if (helper == 0) {
		static struct guard guard;

		if (guard_start(&guard))
			_exit(1);
		bystanders_find(&guard.shared->bystanders, files, ARRAY_SIZE(files), 0,
				clock_deadline_ms(LIMIT_MS));
		bystanders_stand_back(&guard.shared->bystanders);
		/* The order alone: no mark of a held machine is left on this one. */
		atomic_store(&guard.shared->order, (int)order);
		_exit(nice_of(reader) == NICE_MOST ? 0 : 2);
	}
	waitpid(helper, &result, 0);
	CHECK(WIFEXITED(result) && WEXITSTATUS(result) == 0,
	      "a helper dies while they stand back, %s", when);
	for (uint64_t limit = clock_deadline_ms(LIMIT_MS); nice && clock_left_ms(limit) > 0;) {
		nice = nice_of(reader);
		clock_sleep_ms(10);
	}
	CHECK(nice == 0, "the guard brings them back");
	end(reader);
}

int main(void)
{
	int fd;

	snprintf(file, sizeof(file), "/tmp/pmsm-bystanders.XXXXXX");
	fd = mkstemp(file);
	CHECK(fd >= 0, "a file to be read");
	close(fd);
	if (geteuid() == 0) {
		test_all();
		test_guard(GUARD_IDLE, "before the window");
		test_guard(GUARD_HOLD, "and may own nothing any more");
		test_threads();
	} else {
		SKIP("this user may not become less nice");
	}
	unlink(file);
	return test_end();
}
