// SPDX-License-Identifier: GPL-2.0-only
#include "source/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/quarantine.h"
#include "source/filesystems.h"

#define MARKER_DIRECTORY "/run/pmsm"
#define MARKER_PATH	 MARKER_DIRECTORY "/held"
#define MARKER_PREPARED	 MARKER_DIRECTORY "/not-held"
#define GUARD_FIRST_FD	 3

/* Static, so that recovery needs no memory of its own; each process has its own copy. */
static struct filesystems recovery_filesystems;
static struct quarantine recovery_quarantine;

bool marker_exists(void)
{
	return access(MARKER_PATH, F_OK) == 0;
}

/* On a disk the marker would block for ever while file systems are frozen. */
static bool marker_is_possible(void)
{
	struct statfs fs;

	mkdir(MARKER_DIRECTORY, 0755);
	return statfs(MARKER_DIRECTORY, &fs) == 0 &&
	       (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static void marker_make(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd >= 0)
		close(fd);
}

/*
 * It has another name until it is needed. Opening a file may ask a process for permission
 * (fanotify, as virus scanners do), and in the window that process is frozen; renaming does not.
 */
static void marker_prepare(void)
{
	if (marker_is_possible())
		marker_make(MARKER_PREPARED);
}

static void marker_write(bool held)
{
	if (!marker_is_possible())
		return;
	if (held && rename(MARKER_PREPARED, MARKER_PATH) < 0)
		marker_make(MARKER_PATH);
	if (held)
		return;
	if (rename(MARKER_PATH, MARKER_PREPARED) < 0 && errno != ENOENT)
		unlink(MARKER_PATH);
}

int recover_machine(void)
{
	struct failure failure = {0};
	bool existed = false;
	int error, thawed;

	/* What is said may go to a file on a file system that is still frozen. */
	log_hold(true);
	if (filesystems_scan(&recovery_filesystems, &failure))
		log_text("%s", failure.detail);
	thawed = filesystems_thaw_any(&recovery_filesystems);
	filesystems_close(&recovery_filesystems);
	error = quarantine_prepare(&recovery_quarantine, "");
	if (!error && rtnl_netdevs(&recovery_quarantine.route, &recovery_quarantine.devices) == 0)
		rtnl_refresh_macs(&recovery_quarantine.route, &recovery_quarantine.devices, 0);
	if (!error)
		error = quarantine_remove(&recovery_quarantine, &existed);
	quarantine_destroy(&recovery_quarantine);
	if (error)
		log_text("cannot delete the quarantine: %s", strerror(-error));
	marker_write(false);
	log_text("recovered: %d file systems thawed, quarantine %s", thawed,
		 existed ? "deleted" : "was not there");
	log_hold(false);
	return error;
}

/* Everything but stdio and the pipe: a descriptor kept here would keep its file open for all. */
static void close_others(int keep)
{
	for (int fd = GUARD_FIRST_FD; fd < 1024; fd++)
		if (fd != keep)
			close(fd);
}

__attribute__((noreturn)) static void guard_run(struct guard *guard, int read_fd)
{
	enum guard_order order;
	int error = 0;
	char byte;
	ssize_t n;

	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	close_others(read_fd);
	mlockall(MCL_CURRENT | MCL_FUTURE);
	log_hold(true);
	do {
		n = read(read_fd, &byte, 1);
	} while (n > 0 || (n < 0 && errno == EINTR));
	order = (enum guard_order)atomic_load(&guard->shared->order);
	if (order == GUARD_HOLD) {
		log_text("guard: the helper died while another body may own the state; "
			 "file systems stay frozen and traffic stays dropped");
		/* Who stands back is of no use to anybody, whoever owns the state. */
		bystanders_return(&guard->shared->bystanders);
		_exit(0);
	}
	if (order == GUARD_RECOVER) {
		log_text("guard: the helper died before it gave up, so the source recovers");
		error = recover_machine();
	}
	/* Nothing is left to restore if the helper has ended as it should. */
	settings_restore(&guard->shared->throttled);
	settings_restore(&guard->shared->settings);
	bystanders_return(&guard->shared->bystanders);
	_exit(error ? 1 : 0);
}

int guard_start(struct guard *guard)
{
	void *shared;
	int fds[2];

	marker_prepare();
	shared = mmap(NULL, sizeof(*guard->shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED || pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	guard->shared = shared;
	guard->pid = fork();
	if (guard->pid < 0)
		return -errno;
	if (guard->pid == 0)
		guard_run(guard, fds[0]);
	close(fds[0]);
	guard->pipe_fd = fds[1];
	return 0;
}

void guard_set(struct guard *guard, enum guard_order order)
{
	/* The order first: if the process dies between both, the guard acts by the order. */
	atomic_store(&guard->shared->order, (int)order);
	marker_write(order == GUARD_HOLD);
}

void guard_end(struct guard *guard)
{
	if (guard->pid <= 0)
		return;
	guard_set(guard, GUARD_IDLE);
	close(guard->pipe_fd);
	waitpid(guard->pid, NULL, 0);
	guard->pid = 0;
}
