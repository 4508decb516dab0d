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
#define DEVICES	     "/sys/class/block"

uint64_t raw_writers_dirty_pages(const char *vmstat)
{
	static const char name[] = "\nnr_dirty ";
	const char *at = strstr(vmstat, name);

	return at ? strtoull(at + sizeof(name) - 1, NULL, 10) : UINT64_MAX;
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

static uint64_t dirty_pages(void)
{
	static char text[VMSTAT_BYTES];

	gather_counts();
	if (!facts_read_file("/proc/vmstat", text, sizeof(text)))
		return UINT64_MAX;
	return raw_writers_dirty_pages(text);
}

/* 0 also for a device that has no medium, or cannot be asked: nothing was written to that one. */
static int write_back(const char *name)
{
	char path[sizeof("/dev/") + NAME_MAX];
	int fd, error;

	snprintf(path, sizeof(path), "/dev/%s", name);
	/* In sysfs a slash cannot be part of a name. */
	for (char *c = path + sizeof("/dev/") - 1; *c; c++)
		if (*c == '!')
			*c = '/';
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0;
	error = fdatasync(fd) < 0 ? -errno : 0;
	close(fd);
	return error;
}

int raw_writers_settle(struct failure *failure)
{
	uint64_t pages = dirty_pages();
	struct dirent *entry;
	int error = 0;
	DIR *devices;

	if (pages == 0)
		return 0;
	devices = opendir(DEVICES);
	while (!error && devices && (entry = readdir(devices))) {
		if (entry->d_name[0] == '.')
			continue;
		error = write_back(entry->d_name);
		if (error)
			failure_set(failure, PMSM_E_FILESYSTEM_FREEZE_FAILED, error,
				    "what was written to %s without a file system: %s",
				    entry->d_name, strerror(-error));
	}
	if (devices)
		closedir(devices);
	log_text("%llu pages were written to disks without a file system, and are there now",
		 (unsigned long long)pages);
	return error;
}
