// SPDX-License-Identifier: GPL-2.0-only
#include "source/petting.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <linux/watchdog.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define PET_MS	   500
#define PATH_BYTES 64

/* A process that has ended meanwhile holds nothing. */
static int take(struct petting *p, pid_t holder, int fd)
{
	int holder_fd = (int)syscall(SYS_pidfd_open, holder, 0), own, error;

	if (holder_fd < 0)
		return errno == ESRCH ? 0 : -errno;
	if (p->count == PETTED_MAX) {
		close(holder_fd);
		return -E2BIG;
	}
	own = (int)syscall(SYS_pidfd_getfd, holder_fd, fd, 0);
	error = own < 0 && errno != EBADF && errno != ESRCH ? -errno : 0;
	close(holder_fd);
	if (own >= 0)
		p->fds[p->count++] = own;
	return error;
}

/* What one process has open. */
static int look_at(struct petting *p, const char *pid, const char *prefix)
{
	char directory[PATH_BYTES], target[PATH_BYTES];
	struct dirent *entry;
	ssize_t length;
	int error = 0;
	DIR *fds;

	snprintf(directory, sizeof(directory), "/proc/%.20s/fd", pid);
	fds = opendir(directory);
	while (!error && fds && (entry = readdir(fds))) {
		length = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);
		if (length <= 0)
			continue;
		target[length] = '\0';
		if (strncmp(target, prefix, strlen(prefix)) == 0)
			error = take(p, atoi(pid), atoi(entry->d_name));
	}
	if (fds)
		closedir(fds);
	return error;
}

int petting_find(struct petting *p, const char *prefix)
{
	struct dirent *entry;
	DIR *processes = opendir("/proc");
	int error = 0;

	petting_close(p);
	while (!error && processes && (entry = readdir(processes)))
		if (isdigit((unsigned char)entry->d_name[0]) && atoi(entry->d_name) != getpid())
			error = look_at(p, entry->d_name, prefix);
	if (processes)
		closedir(processes);
	return error;
}

void petting_pet(struct petting *p)
{
	uint64_t now = clock_ns();

	if (p->count == 0 || now - p->petted_ns < PET_MS * NS_PER_MS)
		return;
	petting_pet_now(p);
}

void petting_pet_now(struct petting *p)
{
	p->petted_ns = clock_ns();
	for (size_t i = 0; i < p->count; i++)
		ioctl(p->fds[i], WDIOC_KEEPALIVE, 0);
}

void petting_set_timeouts(struct petting *p)
{
	for (size_t i = 0; i < p->count; i++) {
		int seconds;

		if (ioctl(p->fds[i], WDIOC_GETTIMEOUT, &seconds) == 0)
			ioctl(p->fds[i], WDIOC_SETTIMEOUT, &seconds);
	}
}

static void set_option(int fd, int option, const char *what)
{
	if (ioctl(fd, WDIOC_SETOPTIONS, &option) < 0)
		log_text("a watchdog cannot be %s: %s", what, strerror(errno));
}

void petting_restart(struct petting *p)
{
	for (size_t i = 0; i < p->count; i++) {
		set_option(p->fds[i], WDIOS_DISABLECARD, "stopped to start it anew");
		set_option(p->fds[i], WDIOS_ENABLECARD, "started");
	}
	petting_set_timeouts(p);
}

void petting_close(struct petting *p)
{
	for (size_t i = 0; i < p->count; i++)
		close(p->fds[i]);
	p->count = 0;
}
