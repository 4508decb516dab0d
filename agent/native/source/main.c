// SPDX-License-Identifier: GPL-2.0-only
/* pmsm-freeze: the source half. See source/window.c for what it does and in which order. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cmdline.h"
#include "common/facts.h"
#include "common/json.h"
#include "common/log.h"
#include "common/owner.h"
#include "source/attempt.h"
#include "source/faults.h"

enum exit_code {
	EXIT_MOVED = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_ROLLED_BACK = 4,
	EXIT_HELD = 5,
};

static struct attempt attempt; /* static: in memory before the window, whatever malloc does */

static int report(const struct attempt *a, const char *result, int exit_code)
{
	char text[1024];
	struct json json;

	json_start(&json, text, sizeof(text));
	json_open(&json, NULL, '{');
	json_text(&json, "result", result);
	if (a->failure.code) {
		json_text(&json, "code", pmsm_error_name(a->failure.code));
		json_text(&json, "phase", pmsm_phase_name(a->failure.phase));
		json_u64(&json, "errno", (uint64_t)a->failure.system_errno);
		json_text(&json, "detail", a->failure.detail);
	} else {
		json_null(&json, "code");
	}
	json_close(&json, '}');
	log_event(text);
	return exit_code;
}

static int write_number(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	int ok;

	if (!f)
		return -1;
	ok = fputs(text, f) >= 0;
	return fclose(f) == 0 && ok ? 0 : -1;
}

/* From here on nothing may be paged out, dumped, or end us by a signal that can be held back. */
static void settle(void)
{
	sigset_t all;

	mlockall(MCL_CURRENT | MCL_FUTURE);
	/* A core dump would be written to a frozen file system, before anything could thaw it. */
	prctl(PR_SET_DUMPABLE, 0);
	write_number("/proc/self/oom_score_adj", "-1000");
	sigfillset(&all);
	sigdelset(&all, SIGABRT);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigprocmask(SIG_SETMASK, &all, NULL);
}

static int end_before_window(struct attempt *a)
{
	struct pmsm_msg_error m = {.code = a->failure.code,
				   .phase =
				       a->failure.phase ? a->failure.phase : PMSM_PHASE_PREPARE,
				   .system_errno = (uint32_t)a->failure.system_errno};

	state_leave(attempt_state(a), STATE_FAILED);
	edges_log(a);
	if (link_is_open(&a->control))
		link_send(&a->control, PMSM_MSG_ERROR, &m, a->failure.detail,
			  strlen(a->failure.detail), clock_deadline_ms(500));
	ownership_end(a, a->options.machine);
	throttle_end(&a->throttle);
	settings_restore(&a->guard.shared->settings);
	bystanders_return(&a->guard.shared->bystanders);
	guard_end(&a->guard);
	return report(a, "failed", EXIT_FAILED);
}

static int run(int argc, char **argv)
{
	struct attempt *a = &attempt;
	struct precopy_limits limits;
	int error;

	if (!options_parse(&a->options, argc, argv)) {
		options_usage();
		return EXIT_USAGE;
	}
	if (guard_share(&a->guard)) {
		log_text("no memory");
		return EXIT_FAILED;
	}
	a->snapshot.ops = &snapshot_kernel;
	clock_calibrate_begin();
	fault_read(&a->fault);
	settle();
	error = prepare(a);
	if (!error && a->options.engine == PMSM_ENGINE_DELTA) {
		error = await_precopy(a, &limits);
		if (!error)
			error = precopy(a, &limits);
	}
	if (!error)
		error = await_freeze(a);
	if (!error && told_to_end())
		error = failure_set(&a->failure, PMSM_E_CANCELLED, 0, "told to end by a signal");
	if (error)
		return end_before_window(a);
	error = window_run(a);
	if (!error && state_get(attempt_state(a)) != STATE_RESUMED)
		error = hold_given_up(a); /* comes back only to thaw */
	if (error && a->snapshot.fd < 0)
		return end_before_window(a);
	if (error) {
		roll_back(a);
		guard_end(&a->guard);
		return report(a, "rolled-back", EXIT_ROLLED_BACK);
	}
	rehome(a);
	guard_end(&a->guard);
	return report(a, "moved", EXIT_MOVED);
}

static int recover(int argc, char **argv)
{
	bool force = argc == 2 && strcmp(argv[1], "--force") == 0;

	if (argc > 2 || (argc == 2 && !force)) {
		options_usage();
		return EXIT_USAGE;
	}
	if (attempt_is_under_way() && !force) {
		log_text("an attempt is under way on this machine, and sees to it itself");
		return EXIT_HELD;
	}
	if (marker_exists() && !force) {
		log_text("an attempt holds this machine: another body may own its state. "
			 "See docs/recovery.md; --force if you are certain that none does");
		return EXIT_HELD;
	}
	return recover_machine() ? EXIT_FAILED : 0;
}

static int network(void)
{
	static struct netlink route;
	static struct netdevs devices;
	struct machine_settings settings;
	int error = cmdline_read(&settings);

	if (!error && (settings.interface[0] == '\0' || settings.address.prefix == 0)) {
		log_text("the kernel command line has no pmsm.interface and pmsm.address");
		return EXIT_USAGE;
	}
	if (!error)
		error = rtnl_open(&route);
	if (!error)
		error = migration_device_up(&settings, &route, &devices);
	if (error)
		log_text("migration interface: %s", strerror(-error));
	return error ? EXIT_FAILED : 0;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	log_start("pmsm-freeze");
	if (strcmp(command, "run") == 0)
		return run(argc - 1, argv + 1);
	if (strcmp(command, "facts") == 0)
		return facts_print(argc == 3 && strcmp(argv[2], "--probe") == 0);
	if (strcmp(command, "recover") == 0)
		return recover(argc - 1, argv + 1);
	if (strcmp(command, "owner") == 0)
		return owner_command(argc - 1, argv + 1, marker_exists() || attempt_is_under_way());
	if (strcmp(command, "network") == 0)
		return network();
	if (strcmp(command, "--version") == 0) {
		puts(HELPER_VERSION);
		return 0;
	}
	options_usage();
	return EXIT_USAGE;
}
