// SPDX-License-Identifier: GPL-2.0-only
#include "source/bystanders.h"

#include <ctype.h>
#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/facts_lists.h"
#include "common/log.h"

#define PATH_BYTES 64
#define STAT_BYTES 512
/* Of /proc/PID/stat, counted from the state, which follows the name in brackets. */
#define FIELDS_TO_START 19

const char *const kernel_log_files[2] = {"/dev/kmsg", "/proc/kmsg"};

/* 0 if there is no such process. */
static uint64_t started_at(int pid)
{
	char path[PATH_BYTES], text[STAT_BYTES];
	const char *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!facts_read_file(path, text, sizeof(text)))
		return 0;
	/* A name may have brackets and spaces itself. */
	at = strrchr(text, ')');
	for (int i = 0; at && i <= FIELDS_TO_START; i++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

static void remember(struct bystanders *b, int pid)
{
	uint32_t count = atomic_load(&b->count);
	struct bystander *one;

	for (uint32_t i = 0; i < count; i++)
		if (b->list[i].pid == pid)
			return;
	if (count == BYSTANDERS_MAX)
		return;
	one = &b->list[count];
	one->pid = pid;
	one->started = started_at(pid);
	atomic_store(&one->stands_back, false);
	if (one->started)
		atomic_store(&b->count, count + 1);
}

static bool is_one_of(int directory, const char *name, const char *const *files, size_t count)
{
	char target[PATH_BYTES];
	ssize_t n = readlinkat(directory, name, target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = '\0';
	for (size_t i = 0; i < count; i++)
		if (strcmp(target, files[i]) == 0)
			return true;
	return false;
}

static bool has_open(int pid, const char *const *files, size_t count)
{
	const struct dirent *entry;
	char path[PATH_BYTES];
	bool found = false;
	DIR *open_files;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	open_files = opendir(path);
	while (open_files && !found && (entry = readdir(open_files)))
		found = is_one_of(dirfd(open_files), entry->d_name, files, count);
	if (open_files)
		closedir(open_files);
	return found;
}

void bystanders_find(struct bystanders *b, const char *const *files, size_t files_count, int agent,
		     uint64_t deadline_ns)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;

	atomic_store(&b->count, 0);
	if (agent > 1)
		remember(b, agent);
	while (proc && clock_left_ms(deadline_ns) > 0 && (entry = readdir(proc))) {
		int pid = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;

		/* The first process has it open as well, but what it starts would inherit. */
		if (pid > 1 && pid != getpid() && has_open(pid, files, files_count))
			remember(b, pid);
	}
	if (proc)
		closedir(proc);
}

void bystanders_stand_back(struct bystanders *b)
{
	unsigned int count = 0;

	for (uint32_t i = 0; i < atomic_load(&b->count); i++) {
		struct bystander *one = &b->list[i];
		struct niceness back = {.threads = NICE_MOST, .group = NICE_MOST};

		if (atomic_load(&one->stands_back) || started_at(one->pid) != one->started)
			continue;
		one->niceness = niceness_of(one->pid);
		if (one->niceness.threads == NICE_NONE)
			continue;
		if (one->niceness.group == NICE_NONE)
			back.group = NICE_NONE;
		atomic_store(&one->stands_back, true);
		niceness_set(one->pid, back);
		count++;
	}
	if (count > 0)
		log_text("%u of %u bystanders stand back", count, atomic_load(&b->count));
}

void bystanders_return(struct bystanders *b)
{
	for (uint32_t i = 0; i < atomic_load(&b->count); i++) {
		struct bystander *one = &b->list[i];

		if (!atomic_load(&one->stands_back))
			continue;
		if (started_at(one->pid) == one->started)
			niceness_set(one->pid, one->niceness);
		atomic_store(&one->stands_back, false);
	}
}
