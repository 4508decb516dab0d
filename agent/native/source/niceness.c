// SPDX-License-Identifier: GPL-2.0-only
#include "source/niceness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "source/settings.h"

#define PATH_BYTES 48

static void path_of(char *path, int pid, const char *file)
{
	if (pid)
		snprintf(path, PATH_BYTES, "/proc/%d/%s", pid, file);
	else
		snprintf(path, PATH_BYTES, "/proc/self/%s", file);
}

/* "/autogroup-25 nice 0" */
static int group_of(int pid)
{
	char path[PATH_BYTES], text[SETTING_TEXT_BYTES];
	const char *nice;

	path_of(path, pid, "autogroup");
	if (!setting_read(path, text, sizeof(text)))
		return NICE_NONE;
	nice = strstr(text, " nice ");
	return nice ? atoi(nice + 6) : NICE_NONE;
}

static void set_group(int pid, int nice)
{
	char path[PATH_BYTES], text[16];

	if (nice == NICE_NONE)
		return;
	path_of(path, pid, "autogroup");
	snprintf(text, sizeof(text), "%d", nice);
	setting_write(AT_FDCWD, path, text);
}

/* In Linux each thread has a niceness of its own. */
typedef void thread_fn(id_t thread, int *nice);

static void for_each_thread(int pid, thread_fn *act, int *nice)
{
	const struct dirent *entry;
	char path[PATH_BYTES];
	DIR *tasks;

	path_of(path, pid, "task");
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		id_t thread = (id_t)strtoul(entry->d_name, NULL, 10);

		if (thread)
			act(thread, nice);
	}
	if (tasks)
		closedir(tasks);
}

#define NICE_UNKNOWN INT32_MAX

static void compare(id_t thread, int *nice)
{
	int own;

	errno = 0;
	own = getpriority(PRIO_PROCESS, thread);
	/* One that has ended. */
	if (errno)
		return;
	*nice = *nice == NICE_UNKNOWN || *nice == own ? own : NICE_NONE;
}

static void set(id_t thread, int *nice)
{
	setpriority(PRIO_PROCESS, thread, *nice);
}

struct niceness niceness_of(int pid)
{
	int threads = NICE_UNKNOWN;

	for_each_thread(pid, compare, &threads);
	if (threads == NICE_UNKNOWN)
		threads = NICE_NONE;
	return (struct niceness){.threads = threads, .group = group_of(pid)};
}

void niceness_set(int pid, struct niceness to)
{
	if (to.threads != NICE_NONE)
		for_each_thread(pid, set, &to.threads);
	set_group(pid, to.group);
}
