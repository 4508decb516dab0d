// SPDX-License-Identifier: GPL-2.0-only
/*
 * A helper that dies, and what its deputy makes of it. The orchestrator is this process. The helper
 * runs in a PID namespace of its own, whose first process stands for init: it takes the deputy in
 * when the helper is dead.
 */
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "hold.h"
#include "source/faults.h"

#define LOOK_MS 300

/* What became of the deputy, as init's exit code. */
enum { LET_GO, THAWS = 7, RESUMES, FAILS };

static struct attempt source;

/* What the kernel was asked for, by either process. */
static struct kernel {
	_Atomic int lease_answer;
	_Atomic int holds;
	_Atomic int releases;
	_Atomic bool helper_ended_deputy;
} * kernel;

static int fake_lease(struct snapshot_device *device, unsigned int ms)
{
	(void)device;
	(void)ms;
	return atomic_load(&kernel->lease_answer);
}

static int fake_hold(struct snapshot_device *device, bool hold)
{
	(void)device;
	atomic_fetch_add(hold ? &kernel->holds : &kernel->releases, 1);
	return 0;
}

static const struct snapshot_operations operations = {.lease = fake_lease, .hold = fake_hold};

struct scene {
	enum state state; /* in which the helper dies */
	enum fault_action action;
	bool ends_deputy; /* as it should be, before it dies */
};

static void begin(const struct scene *scene)
{
	struct attempt *a = &source;

	a->control.fd = a->stream.fd = -1;
	a->snapshot.ops = &operations;
	a->fault = (struct fault){.phase = PMSM_PHASE_JUMP, .action = scene->action};
	atomic_store(&attempt_state(a)->value, (int)scene->state);
}

__attribute__((noreturn)) static void be_helper(const struct scene *scene)
{
	struct attempt *a = &source;
	bool takes_over;

	if (deputy_start(a, &takes_over))
		_exit(FAILS);
	if (takes_over && state_get(attempt_state(a)) == STATE_RESUMED)
		_exit(RESUMES);
	if (takes_over)
		_exit(hold_given_up(a) && a->failure.code == PMSM_E_NOT_JUMPED ? THAWS : FAILS);
	if (scene->ends_deputy) {
		deputy_end(a);
		atomic_store(&kernel->helper_ended_deputy, true);
		pause();
	}
	if (scene->state == STATE_GIVEN_UP &&
	    control_connect(a, PMSM_ROLE_SOURCE, a->options.address.address,
			    clock_deadline_ms(SOON_MS)) == 0)
		hold_given_up(a); /* dies in there, when it has said so */
	/* Late enough that the deputy has to wait for it. */
	clock_sleep_ms(50);
	fault_strike(a, PMSM_PHASE_JUMP);
	_exit(FAILS);
}

__attribute__((noreturn)) static void be_init(const struct scene *scene)
{
	int status = 0, code = FAILS;
	pid_t helper = fork(), child;

	if (helper == 0)
		be_helper(scene);
	while ((child = wait(&status)) > 0)
		if (child != helper)
			code = WIFEXITED(status) ? WEXITSTATUS(status) : FAILS;
	_exit(code);
}

static pid_t start(const struct scene *scene)
{
	pid_t child;

	atomic_store(&kernel->holds, 0);
	atomic_store(&kernel->releases, 0);
	begin(scene);
	child = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
	if (child == 0)
		be_init(scene);
	return child;
}

static int code_of(pid_t child)
{
	int status = end_of(child);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_given_up(enum fault_action action, const char *how)
{
	struct scene scene = {.state = STATE_GIVEN_UP, .action = action};
	pid_t child = start(&scene);
	int code;

	CHECK(meet(SOON_MS), "the source has given up");
	CHECK(meet(SOON_MS), "%s: another process connects and says so again", how);
	CHECK(answers_ping(), "it answers");
	CHECK(kernel->holds == 2 && kernel->releases == 0, "both told the kernel to hold");
	order(PMSM_MSG_THAW, GENERATION + 1);
	CHECK(meet(SOON_MS), "an order of another attempt ends the link, not the wait");
	order(PMSM_MSG_THAW, GENERATION);
	code = code_of(child);
	CHECK(code == THAWS, "it takes the order to thaw (%d)", code);
}

static void test_released(void)
{
	struct pmsm_msg_release release = {.generation = GENERATION,
					   .action = PMSM_RELEASE_ACTION_POWER_OFF};
	struct scene scene = {.state = STATE_RELEASED, .action = FAULT_KILL};
	pid_t child = start(&scene);
	int status;

	CHECK(meet(SOON_MS), "the helper is killed as it powers off: another process asks again");
	link_send(&control, PMSM_MSG_RELEASE, &release, NULL, 0, clock_deadline_ms(SOON_MS));
	CHECK(answers_with(PMSM_MSG_RELEASED), "it says that it is released");
	status = end_of(child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT, "and powers off");
}

/* States in which nothing was promised, or the order was there already. */
static void test_lets_go(void)
{
	static const enum state states[] = {STATE_SNAPSHOT, STATE_SENDING, STATE_SENT,
					    STATE_THAWING,  STATE_OWNER,   STATE_ROLLED_BACK};

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		struct scene scene = {.state = states[i], .action = FAULT_KILL};
		bool ordered = states[i] == STATE_OWNER || states[i] == STATE_THAWING;
		int code;

		guard_set(&source.guard, GUARD_HOLD);
		atomic_store(&kernel->lease_answer, 0);
		code = code_of(start(&scene));
		CHECK(code == LET_GO && kernel->releases == 1 && kernel->holds == 0,
		      "%s: it lets the kernel thaw (%d)", state_name(states[i]), code);
		CHECK((source.guard.shared->order == GUARD_RECOVER) == ordered,
		      "and the guard has %s order", ordered ? "a new" : "its old");
	}
}

static void test_resumed(void)
{
	struct scene resumed = {.state = STATE_RESUMED, .action = FAULT_KILL};
	struct scene unaware = {.state = STATE_SNAPSHOT, .action = FAULT_SEGV};
	int code = code_of(start(&resumed));

	CHECK(code == RESUMES && kernel->releases == 0, "resumed: it goes on (%d)", code);
	atomic_store(&kernel->lease_answer, -EPERM);
	code = code_of(start(&unaware));
	CHECK(code == RESUMES && kernel->releases == 0,
	      "the kernel holds the machine: so it is the new body, and goes on (%d)", code);
	atomic_store(&kernel->lease_answer, -ENOTTY);
	code = code_of(start(&unaware));
	CHECK(code == LET_GO, "a kernel that cannot tell (%d)", code);
	atomic_store(&kernel->lease_answer, 0);
}

static void test_ended(void)
{
	struct scene scene = {.state = STATE_GIVEN_UP, .ends_deputy = true};
	uint64_t deadline = clock_deadline_ms(SOON_MS);
	pid_t child = start(&scene);

	while (!kernel->helper_ended_deputy && clock_left_ms(deadline) > 0)
		clock_sleep_ms(10);
	CHECK(kernel->helper_ended_deputy, "the helper ends its deputy");
	kill(child, SIGKILL);
	end_of(child);
	CHECK(!meet(LOOK_MS) && kernel->holds == 0, "which has done nothing");
}

int main(void)
{
	struct endpoint here;

	if (!listen_here(&here))
		return test_end();
	kernel =
	    mmap(NULL, sizeof(*kernel), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (kernel == MAP_FAILED || guard_share(&source.guard))
		abort();
	make_source(&source, &here);
	test_given_up(FAULT_KILL, "it is killed");
	test_given_up(FAULT_SEGV, "it crashes");
	test_released();
	test_lets_go();
	test_resumed();
	test_ended();
	return test_end();
}
