// SPDX-License-Identifier: GPL-2.0-only
#include "source/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/quarantine.h"
#include "source/filesystems.h"

#define MARKER_DIRECTORY "/run/pmsm"
#define MARKER_PATH	 MARKER_DIRECTORY "/held"
#define MARKER_PREPARED	 MARKER_DIRECTORY "/not-held"
#define LOCK_PATH	 MARKER_DIRECTORY "/attempt"
#define GUARD_FIRST_FD	 3
/* Looks that find the guard awake while all should stand still, before it ends the helper. */
#define LOOK_MS	  500
#define LOOKS_MAX 3

/* Static, so that recovery needs no memory of its own; each process has its own copy. */
static struct filesystems recovery_filesystems;
static struct quarantine recovery_quarantine;

bool marker_exists(void)
{
	return access(MARKER_PATH, F_OK) == 0;
}

int attempt_lock(void)
{
	int fd, error;

	mkdir(MARKER_DIRECTORY, 0755);
	fd = open(LOCK_PATH, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

bool attempt_is_under_way(void)
{
	int fd = attempt_lock();

	if (fd >= 0)
		close(fd);
	return fd == -EWOULDBLOCK;
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

/* Everything but stdio and these: a descriptor kept here would keep its file open for all. */
static void close_others(int keep, int keep_too)
{
	for (int fd = GUARD_FIRST_FD; fd < 1024; fd++)
		if (fd != keep && fd != keep_too)
			close(fd);
}

static int helper_open(void)
{
	return (int)syscall(SYS_pidfd_open, getppid(), 0);
}

/* Until the helper is dead, and the deputy if there is one: by themselves, or stuck. */
static void wait_for_end(struct guard *guard, int read_fd, int helper_fd)
{
	struct pollfd p = {.fd = read_fd, .events = POLLIN};
	unsigned int looks = 0;

	while (poll(&p, 1, LOOK_MS) <= 0) {
		looks = atomic_load(&guard->shared->standing) ? looks + 1 : 0;
		if (looks < LOOKS_MAX)
			continue;
		log_text("guard: the kernel has thawed this machine, and the helper does not know");
		syscall(SYS_pidfd_send_signal, helper_fd, SIGKILL, NULL, 0);
		looks = 0;
	}
}

static enum guard_order last_order(struct guard *guard)
{
	enum guard_order order = (enum guard_order)atomic_load(&guard->shared->order);

	if (order == GUARD_HOLD && atomic_load(&guard->shared->leased) &&
	    state_get(&guard->shared->state) == STATE_SNAPSHOT)
		return GUARD_RECOVER;
	return order;
}

__attribute__((noreturn)) static void guard_run(struct guard *guard, int read_fd)
{
	int error = 0, helper_fd = helper_open();
	enum guard_order order;

	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	close_others(read_fd, helper_fd);
	mlockall(MCL_CURRENT | MCL_FUTURE);
	log_hold(true);
	wait_for_end(guard, read_fd, helper_fd);
	order = last_order(guard);
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

int guard_share(struct guard *guard)
{
	void *shared = mmap(NULL, sizeof(*guard->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		return -errno;
	guard->shared = shared;
	return 0;
}

int guard_start(struct guard *guard)
{
	int fds[2];

	marker_prepare();
	if (!guard->shared && guard_share(guard))
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
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

bool guard_is_alive(const struct guard *guard)
{
	return guard->pid > 0 && waitpid(guard->pid, NULL, WNOHANG) == 0;
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
