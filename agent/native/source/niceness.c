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

/* In Linux each thread has a niceness of its own. NICE_NONE: whatever that is. */
static void set_threads(int pid, int from, int to)
{
	const struct dirent *entry;
	char path[PATH_BYTES];
	DIR *tasks;

	path_of(path, pid, "task");
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		id_t thread = (id_t)strtoul(entry->d_name, NULL, 10);

		if (thread && (from == NICE_NONE || getpriority(PRIO_PROCESS, thread) == from))
			setpriority(PRIO_PROCESS, thread, to);
	}
	if (tasks)
		closedir(tasks);
}

struct niceness niceness_of(int pid)
{
	return (struct niceness){getpriority(PRIO_PROCESS, (id_t)pid), group_of(pid)};
}

void niceness_change(int pid, const struct niceness *from, const struct niceness *to)
{
	set_threads(pid, from->threads, to->threads);
	set_group(pid, to->group);
}

void niceness_set_own(struct niceness to)
{
	set_threads(0, NICE_NONE, to.threads);
	set_group(0, to.group);
}
