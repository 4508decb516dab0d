// SPDX-License-Identifier: GPL-2.0-only
#include "source/deputy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "source/attempt.h"
#include "source/faults.h"

#define LEASE_TO_ASK_MS 1000
#define DEATH_LIMIT_MS	1000

/* A copy kept here would keep the connections open when the helper ends them. */
static void close_connections(struct attempt *a)
{
	close(a->control.fd);
	close(a->stream.fd);
	a->control.fd = a->stream.fd = -1;
}

/*
 * The pipe ends a moment before the helper is dead for the kernel, which takes a task that lives
 * and is not to be frozen for a mistake when another one thaws.
 */
static void wait_for_death(int fd, int helper_fd)
{
	struct pollfd p = {.fd = helper_fd, .events = POLLIN};
	ssize_t n;
	char byte;

	do {
		n = read(fd, &byte, 1);
	} while (n > 0 || (n < 0 && errno == EINTR));
	poll(&p, 1, DEATH_LIMIT_MS);
}

/*
 * The helper died in SNAPSHOT: it had not seen yet on which machine. The kernel knows: it holds
 * what wakes up from an image, and nothing else by itself.
 */
static enum state state_of_the_dead(struct attempt *a)
{
	enum state state = state_get(attempt_state(a));

	if (state != STATE_SNAPSHOT ||
	    a->snapshot.ops->lease(&a->snapshot, LEASE_TO_ASK_MS) != -EPERM)
		return state;
	state_move(attempt_state(a), STATE_SNAPSHOT, STATE_RESUMED);
	return STATE_RESUMED;
}

/* Closing the device thaws, and wakes the guard, which does the rest. */
__attribute__((noreturn)) static void let_go(struct attempt *a, enum state state)
{
	/* The order was there, and the helper may have died before it wrote that down. */
	if (state == STATE_OWNER)
		identity_take(a);
	if (state == STATE_OWNER || state == STATE_THAWING)
		guard_set(&a->guard, GUARD_RECOVER);
	a->snapshot.ops->hold(&a->snapshot, false);
	_exit(0);
}

static void take_over(struct attempt *a, enum state state)
{
	log_text("deputy: the helper died in the state %s; going on in its place",
		 state_name(state));
	a->deputy.pid = 0;
	a->fault.phase = PMSM_PHASE_NONE;
	netlink_adopt(&a->quarantine.nft);
	netlink_adopt(&a->quarantine.route);
	netlink_adopt(&a->diag);
}

static void be_deputy(struct attempt *a, int fd)
{
	int helper_fd = (int)syscall(SYS_pidfd_open, getppid(), 0);
	enum state state;

	close(a->deputy.alive_fd);
	close_connections(a);
	/* What is there stays; nothing is brought in, or copied, for it. */
	mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
	wait_for_death(fd, helper_fd);
	close(fd);
	close(helper_fd);
	state = state_of_the_dead(a);
	if (state != STATE_GIVEN_UP && state != STATE_RELEASED && state != STATE_RESUMED)
		let_go(a, state);
	take_over(a, state);
}

int deputy_start(struct attempt *a, bool *takes_over)
{
	int fds[2];

	*takes_over = false;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	a->deputy.alive_fd = fds[1];
	a->deputy.pid = fork();
	if (a->deputy.pid == 0) {
		be_deputy(a, fds[0]);
		*takes_over = true;
		return 0;
	}
	close(fds[0]);
	if (a->deputy.pid > 0)
		return 0;
	close(fds[1]);
	return -errno;
}

void deputy_end(struct attempt *a)
{
	if (a->deputy.pid <= 0)
		return;
	/* Not by the pipe: that would be the helper's death. */
	kill(a->deputy.pid, SIGKILL);
	waitpid(a->deputy.pid, NULL, 0);
	close(a->deputy.alive_fd);
	a->deputy.pid = 0;
}
