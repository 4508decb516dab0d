// SPDX-License-Identifier: GPL-2.0-only
/*
 * A source that has given up, and an orchestrator that says the right thing, the wrong thing, and
 * nothing. The orchestrator is this process, the source a child of it.
 */
#include <sys/fanotify.h>
#include <sys/syscall.h>

#include "hold.h"

#define SILENT_MS 10000

enum { CHILD_THAWS = 7, CHILD_FAILS };

static struct attempt source;

/*
 * Nobody may open a file in /run any more until this process ends: who tries waits for a permission
 * that never comes. So it is in the window, when a virus scanner is frozen.
 */
static void forbid_opening(void)
{
	int fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN_PERM, AT_FDCWD, "/run");
}

__attribute__((noreturn)) static void be_source(const struct endpoint *orchestrator)
{
	struct attempt *a = &source;
	bool gave_up;

	make_source(a, orchestrator);
	if (guard_share(&a->guard))
		_exit(CHILD_FAILS);
	attempt_state(a)->value = STATE_SENT;
	if (guard_start(&a->guard))
		_exit(CHILD_FAILS);
	forbid_opening();
	if (control_connect(a, PMSM_ROLE_SOURCE, a->options.address.address,
			    clock_deadline_ms(SOON_MS)))
		_exit(CHILD_FAILS);
	gave_up = hold_given_up(a) != 0 && a->failure.code == PMSM_E_NOT_JUMPED;
	_exit(gave_up ? CHILD_THAWS : CHILD_FAILS);
}

/* Whether who opens a file in /run waits; the machine may not have fanotify, or not for this user.
 */
static bool opening_is_forbidden(void)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		alarm(1);
		_exit(open("/run/pmsm/held", O_RDONLY | O_CLOEXEC) < 0);
	}
	waitpid(child, &status, 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
}

static void test_orders(void)
{
	struct pmsm_msg_abort abort_order = {.generation = GENERATION, .code = PMSM_E_CANCELLED};
	struct pmsm_msg_release release = {.generation = GENERATION + 1,
					   .action = PMSM_RELEASE_ACTION_POWER_OFF};

	CHECK(answers_ping(), "it answers");
	order(PMSM_MSG_COMMIT, GENERATION);
	CHECK(answers_with(PMSM_MSG_GIVEN_UP), "commit once more: it has given up");
	link_send(&control, PMSM_MSG_ABORT, &abort_order, NULL, 0, clock_deadline_ms(SOON_MS));
	CHECK(answers_ping(), "an abort comes too late");
	order(PMSM_MSG_THAW, GENERATION + 1);
	CHECK(meet(SOON_MS), "the order to thaw another attempt ends the link, not the wait");
	link_send(&control, PMSM_MSG_RELEASE, &release, NULL, 0, clock_deadline_ms(SOON_MS));
	CHECK(meet(SOON_MS), "so does the release of another");
}

static void test_silence(void)
{
	uint64_t begin_ns = clock_ns(), waited_ms;
	bool met = meet(SILENT_MS + SOON_MS);

	waited_ms = (clock_ns() - begin_ns) / NS_PER_MS;
	CHECK(met && waited_ms >= SILENT_MS, "it looks for a silent orchestrator after %llu ms",
	      (unsigned long long)waited_ms);
	link_close(&control);
	CHECK(meet(SOON_MS), "and for one that is gone at once");
}

/* In a PID namespace of its own: there an order to power off ends its processes, and no more. */
static pid_t start_source(const struct endpoint *orchestrator)
{
	pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);

	if (child == 0)
		be_source(orchestrator);
	return child;
}

static void test_lock(void)
{
	int lock = attempt_lock(), status = 0;
	pid_t child;

	CHECK(lock >= 0, "an attempt takes the lock");
	child = fork();
	if (child == 0)
		_exit(attempt_is_under_way() && attempt_lock() == -EWOULDBLOCK ? 0 : 1);
	waitpid(child, &status, 0);
	CHECK(status == 0, "another process sees that one is under way, and begins none");
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	close(lock);
	CHECK(attempt_is_under_way(), "a process that it has left behind still is the attempt");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	CHECK(!attempt_is_under_way(), "the last one that ends takes the lock away");
}

static void test_thaw(const struct endpoint *orchestrator)
{
	pid_t child = start_source(orchestrator);
	int status;

	if (child < 0) {
		SKIP("PID namespaces are not allowed");
		return;
	}
	CHECK(meet(SOON_MS), "the source has given up");
	CHECK(access("/run/pmsm/held", F_OK) == 0, "it is marked");
	if (opening_is_forbidden())
		CHECK(true, "although nobody may open a file where the mark is");
	else
		SKIP("fanotify gives no permissions here");
	test_orders();
	test_silence();
	order(PMSM_MSG_THAW, GENERATION);
	status = end_of(child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == CHILD_THAWS, "it thaws on its own order");
}

static void test_release(const struct endpoint *orchestrator)
{
	struct pmsm_msg_release release = {.generation = GENERATION,
					   .action = PMSM_RELEASE_ACTION_POWER_OFF};
	pid_t child = start_source(orchestrator);
	int status;

	if (child < 0) {
		SKIP("PID namespaces are not allowed");
		return;
	}
	CHECK(meet(SOON_MS), "another source has given up");
	link_send(&control, PMSM_MSG_RELEASE, &release, NULL, 0, clock_deadline_ms(SOON_MS));
	CHECK(answers_with(PMSM_MSG_RELEASED), "it says that it is released");
	status = end_of(child);
	/* reboot(2): what the first process of a namespace gets. */
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT, "and powers off");
}

int main(void)
{
	struct endpoint here;

	if (!listen_here(&here))
		return test_end();
	test_lock();
	test_thaw(&here);
	test_release(&here);
	return test_end();
}
