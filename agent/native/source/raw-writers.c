// SPDX-License-Identifier: GPL-2.0-only
#include "source/raw-writers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/facts_lists.h"
#include "common/log.h"

#define VMSTAT_BYTES 16384
#define DEPTH_MAX    8
#define DEVICES	     "/sys/class/block"

/* A line of /proc/vmstat; names begin a line. */
static uint64_t count_of(const char *vmstat, const char *name)
{
	const char *at = strstr(vmstat, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : UINT64_MAX;
}

uint64_t raw_writers_pages(const char *vmstat)
{
	uint64_t dirty = count_of(vmstat, "\nnr_dirty ");
	uint64_t on_the_way = count_of(vmstat, "\nnr_writeback ");

	return dirty == UINT64_MAX || on_the_way == UINT64_MAX ? UINT64_MAX : dirty + on_the_way;
}

/* Each processor keeps what it counts to itself for a while, until it is asked. */
static void gather_counts(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "1", 1);
	close(fd);
}

static uint64_t unwritten_pages(void)
{
	static char text[VMSTAT_BYTES];

	gather_counts();
	if (!facts_read_file("/proc/vmstat", text, sizeof(text)))
		return UINT64_MAX;
	return raw_writers_pages(text);
}

/*
 * Whether a device's data lie in a file, by itself or by those below it. The file's own file system
 * is frozen, and whoever writes there now waits for the thaw, for ever.
 */
static bool lies_in_a_file(const char *name, int depth)
{
	char path[PATH_MAX];
	struct dirent *entry;
	bool found = false;
	DIR *below;

	if (strncmp(name, "loop", 4) == 0)
		return true;
	snprintf(path, sizeof(path), DEVICES "/%.200s/slaves", name);
	below = depth > 0 ? opendir(path) : NULL;
	while (!found && below && (entry = readdir(below)))
		found = entry->d_name[0] != '.' && lies_in_a_file(entry->d_name, depth - 1);
	if (below)
		closedir(below);
	return found;
}

/* What cannot be written back shows in the count that follows. */
static void write_back(const char *name)
{
	char path[sizeof("/dev/") + NAME_MAX];
	int fd;

	snprintf(path, sizeof(path), "/dev/%s", name);
	/* In sysfs a slash cannot be part of a name. */
	for (char *c = path + sizeof("/dev/") - 1; *c; c++)
		if (*c == '!')
			*c = '/';
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	if (fdatasync(fd) < 0)
		log_text("%s: %s", path, strerror(errno));
	close(fd);
}

int raw_writers_settle(struct failure *failure)
{
	uint64_t pages = unwritten_pages(), left;
	struct dirent *entry;
	DIR *devices;

	if (pages == 0)
		return 0;
	devices = opendir(DEVICES);
	while (devices && (entry = readdir(devices)))
		if (entry->d_name[0] != '.' && !lies_in_a_file(entry->d_name, DEPTH_MAX))
			write_back(entry->d_name);
	if (devices)
		closedir(devices);
	left = unwritten_pages();
	log_text("%llu pages were still to be written with all file systems frozen, now %llu",
		 (unsigned long long)pages, (unsigned long long)left);
	if (left == 0)
		return 0;
	return failure_set(failure, PMSM_E_FILESYSTEM_FREEZE_FAILED, EBUSY,
			   "%llu pages cannot be brought to a disk that has no file system",
			   (unsigned long long)left);
}
