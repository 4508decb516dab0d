// SPDX-License-Identifier: GPL-2.0-only
/*
 * The frozen window: the phases in order, and what takes them back.
 *
 * Contract of a phase: it returns 0, or it has set a->failure and returns nonzero. Either way it
 * leaves behind only what roll_back() can undo, which looks at what there is and not at how far
 * things went. On the source every failure before GIVEN_UP leads to roll_back(). On the new body
 * there is no way back: whatever happens there is retried, or waits.
 */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#include "common/clock.h"
#include "common/ethtool.h"
#include "common/log.h"
#include "source/attempt.h"
#include "source/drain.h"
#include "source/faults.h"
#include "source/image.h"
#include "source/raw-writers.h"
#include "source/watch.h"
#include "source/watchdog.h"

#define WATCHDOGS	     "/dev/watchdog"
#define FILESYSTEMS_LIMIT_MS 3000u
#define REMOVE_ATTEMPTS	     20
#define REMOVE_PAUSE_MS	     50
#define OVERRUN_FACTOR	     3

static int do_quarantine(struct attempt *a)
{
	int error;

	a->window_begin_cycles = clock_cycles();
	/* From here on the guard puts things right if we die. */
	guard_set(&a->guard, GUARD_RECOVER);
	error = quarantine_install(&a->quarantine, a->mac);
	if (error)
		return failure_set(&a->failure, PMSM_E_QUARANTINE_FAILED, error, "nftables: %s",
				   strerror(-error));
	state_move(attempt_state(a), STATE_PREPARED, STATE_QUARANTINED);
	drain();
	return 0;
}

/*
 * A window that lasts much longer than what the pre-copy promised is not what anybody agreed to. By
 * cycles: the monotonic clock stands still while the snapshot is taken.
 */
static int check_budget(struct attempt *a)
{
	uint64_t limit_ms = (uint64_t)OVERRUN_FACTOR * a->predicted_ms;
	uint64_t passed_ms;

	if (a->predicted_ms == 0 || a->cycles_khz == 0)
		return 0;
	passed_ms = (clock_cycles() - a->window_begin_cycles) / a->cycles_khz;
	if (passed_ms <= limit_ms)
		return 0;
	return failure_set(&a->failure, PMSM_E_WINDOW_OVERRUN, ETIMEDOUT,
			   "%llu ms have passed, %u ms were predicted",
			   (unsigned long long)passed_ms, a->predicted_ms);
}

static int freeze_filesystems(struct attempt *a)
{
	struct watchdog watchdog;
	int error = watchdog_start(&watchdog, &a->snapshot, &a->guard.shared->standing,
				   FILESYSTEMS_LIMIT_MS, a->pipeline.stacks, PIPELINE_STACK_BYTES);

	if (error)
		return failure_set(&a->failure, PMSM_E_INTERNAL, error, "cannot start a thread: %s",
				   strerror(-error));
	error = filesystems_freeze(&a->filesystems, &a->failure);
	if (!error)
		error = raw_writers_settle(&a->failure);
	if (watchdog_end(&watchdog) && !error)
		return failure_set(&a->failure, PMSM_E_FILESYSTEM_FREEZE_FAILED, ETIMEDOUT,
				   "it took longer than %u ms, processes were thawed meanwhile",
				   FILESYSTEMS_LIMIT_MS);
	return error;
}

static int do_freeze(struct attempt *a)
{
	int error;

	edge_mark(a, PMSM_PHASE_FREEZE_PROCESSES, PMSM_EDGE_BEGIN);
	error = a->snapshot.ops->freeze(&a->snapshot);
	edge_mark(a, PMSM_PHASE_FREEZE_PROCESSES, PMSM_EDGE_END);
	if (error)
		return failure_set(&a->failure, PMSM_E_FREEZE_FAILED, error,
				   "processes did not freeze: %s", strerror(-error));
	atomic_store(&a->guard.shared->standing, true);
	petting_pet_now(&a->petting);
	if (lease_renew(a, PMSM_PHASE_TIMEOUT_MS_FREEZE))
		return -1;
	/* Kernel threads still run, and the journal needs them. */
	edge_mark(a, PMSM_PHASE_FREEZE_FILESYSTEMS, PMSM_EDGE_BEGIN);
	error = freeze_filesystems(a);
	edge_mark(a, PMSM_PHASE_FREEZE_FILESYSTEMS, PMSM_EDGE_END);
	if (!error)
		state_move(attempt_state(a), STATE_QUARANTINED, STATE_FROZEN);
	return error ? error : check_budget(a);
}

static int snapshot_failure(struct attempt *a, int error)
{
	struct pmsm_snapshot_delta delta = {0};

	if (error == -ENOSPC && a->options.engine == PMSM_ENGINE_DELTA &&
	    a->snapshot.ops->delta(&a->snapshot, &delta) == 0)
		return failure_set(
		    &a->failure, PMSM_E_NOT_CONVERGING, error,
		    "%llu pages had changed in the end, and %llu were expected at most",
		    (unsigned long long)(delta.copied + delta.missing),
		    (unsigned long long)a->copies_max);
	return failure_set(&a->failure, PMSM_E_SNAPSHOT_FAILED, error,
			   "the kernel took no snapshot: %s", strerror(-error));
}

/*
 * Returns twice: on the source, and in the image on the new body. What is set before the call is
 * in the image: total drop, guard on HOLD, state SNAPSHOT, the deputy. And on either, once more if
 * the helper dies: in the deputy that goes on in its place.
 */
static int do_snapshot(struct attempt *a)
{
	int in_suspend = 1, error;
	bool takes_over;

	a->flow_open = false;
	error = quarantine_close(&a->quarantine);
	if (error)
		return failure_set(&a->failure, PMSM_E_QUARANTINE_FAILED, error, "total drop: %s",
				   strerror(-error));
	guard_set(&a->guard, GUARD_HOLD);
	state_move(attempt_state(a), STATE_FROZEN, STATE_SNAPSHOT);
	a->snapshot_tried = true;
	petting_pet_now(&a->petting);
	error = deputy_start(a, &takes_over);
	if (takes_over)
		return 0;
	if (error)
		return failure_set(&a->failure, PMSM_E_INTERNAL, error, "no deputy: %s",
				   strerror(-error));
	if (lease_renew(a, PMSM_PHASE_TIMEOUT_MS_SNAPSHOT))
		return -1;
	error = a->snapshot.ops->create(&a->snapshot, &in_suspend);
	if (!error && !in_suspend) {
		state_move(attempt_state(a), STATE_SNAPSHOT, STATE_RESUMED);
		return 0;
	}
	/* Here nobody is left to be woken. On the new body the log waits until they run. */
	a->edges_wait = false;
	guard_set(&a->guard, GUARD_RECOVER);
	if (error)
		return snapshot_failure(a, error);
	state_move(attempt_state(a), STATE_SNAPSHOT, STATE_SENDING);
	if (lease_renew(a, LEASE_MS))
		return -1;
	error = quarantine_open(&a->quarantine, a->mac);
	if (error)
		return failure_set(&a->failure, PMSM_E_QUARANTINE_FAILED, error,
				   "opening for the stream: %s", strerror(-error));
	a->flow_open = true;
	return 0;
}

/* All that belongs to the image: sent in it, sent before, or zero. */
static uint64_t saveable_bytes(struct attempt *a)
{
	struct pmsm_snapshot_delta delta = {0};

	if (a->options.engine == PMSM_ENGINE_DELTA &&
	    a->snapshot.ops->delta(&a->snapshot, &delta) == 0)
		return delta.saveable * PAGE_BYTES;
	return a->pipeline.saveable_bytes;
}

static int report_sent(struct attempt *a, uint64_t window_begin_bytes)
{
	struct pipeline *p = &a->pipeline;
	struct pmsm_msg_sent sent = {.image_bytes = p->image_bytes,
				     .wire_bytes = a->stream.tx_bytes - window_begin_bytes,
				     .wire_bytes_total = a->stream.tx_bytes,
				     .chunks = p->chunks,
				     .saveable_bytes = saveable_bytes(a),
				     .chain = p->chain};
	int error = link_send(&a->control, PMSM_MSG_SENT, &sent, NULL, 0,
			      clock_deadline_ms(min_u64(a->options.stall_ms, LEASE_MS / 2)));

	if (error)
		return failure_set(&a->failure, PMSM_E_ORCHESTRATOR_LOST, error, "control link: %s",
				   strerror(-error));
	return 0;
}

static void log_stages(const struct pipeline *p)
{
	log_text("image %llu MB; processor ms: read %llu, compress %llu, send %llu",
		 (unsigned long long)(p->image_bytes / 1000000),
		 (unsigned long long)(p->read_ns / NS_PER_MS),
		 (unsigned long long)(p->pack_ns / NS_PER_MS),
		 (unsigned long long)(p->send_ns / NS_PER_MS));
}

static int do_send(struct attempt *a)
{
	uint64_t deadline = clock_deadline_ms(PMSM_PHASE_TIMEOUT_MS_SEND);
	uint64_t before = a->stream.tx_bytes;
	struct pipeline *p = &a->pipeline;
	struct movement last = {0};
	bool commit = false;
	int error;

	p->stall_for_test = fault_is_stall(a, PMSM_PHASE_SEND);
	/* Those after the copy are not in the image. While a thread reads, the device is busy. */
	control_send_stamps(a);
	error = memcheck_send(a);
	if (error)
		return failure_set(&a->failure, PMSM_E_ORCHESTRATOR_LOST, error,
				   "digests of memory: %s", strerror(-error));
	error = pipeline_start(p, &image_cargo, a->codec, &a->snapshot, &a->stream);
	if (error)
		return failure_set(&a->failure, PMSM_E_INTERNAL, error, "cannot start threads: %s",
				   strerror(-error));
	edges_flush(a);
	while (!p->sent_all) {
		if (watch_links(a, &commit) || lease_keep(a) || check_pipeline(a) ||
		    check_stall(a, &last) || check_budget(a))
			return -1;
		if (clock_left_ms(deadline) == 0)
			return failure_set(&a->failure, PMSM_E_TIMEOUT, ETIMEDOUT, "send");
	}
	pipeline_stop(p);
	state_move(attempt_state(a), STATE_SENDING, STATE_SENT);
	error = report_sent(a, before);
	log_stages(p);
	return error;
}

/* Waits until the orchestrator has recorded the commit; the target may still be loading. */
int await_commit(struct attempt *a)
{
	struct movement last = {0};
	uint64_t loaded_since = 0;
	bool commit = false;

	for (;;) {
		if (watch_links(a, &commit) || lease_keep(a))
			return -1;
		if (commit)
			return 0;
		if (check_budget(a))
			return -1;
		if (a->progress_bytes < a->pipeline.image_bytes) {
			if (check_stall(a, &last))
				return -1;
			continue;
		}
		if (loaded_since == 0)
			loaded_since = clock_ns();
		if (clock_ns() - loaded_since >
		    (PMSM_PHASE_TIMEOUT_MS_VERIFY + PMSM_PHASE_TIMEOUT_MS_COMMIT) * NS_PER_MS)
			return failure_set(&a->failure, PMSM_E_TIMEOUT, ETIMEDOUT,
					   "the target has all, but no commit came");
	}
}

static const struct phase_step {
	enum pmsm_phase phase;
	int (*run)(struct attempt *a);
} window[] = {
    {PMSM_PHASE_QUARANTINE, do_quarantine},
    {PMSM_PHASE_FREEZE, do_freeze},
    {PMSM_PHASE_SNAPSHOT, do_snapshot}, /* ends on the source or on the new body */
    {PMSM_PHASE_SEND, do_send},
    {PMSM_PHASE_VERIFY, await_commit},
};

/*
 * When processes are thawed they all want to run, and what is left to do would come last. Threads
 * made meanwhile are not urgent: they are busy, and the kernel's own threads must run beside them.
 */
void be_urgent(bool urgent)
{
	struct sched_param parameters = {.sched_priority = urgent ? 1 : 0};

	sched_setscheduler(0, urgent ? SCHED_FIFO | SCHED_RESET_ON_FORK : SCHED_OTHER, &parameters);
}

/* On the new body, or a deputy of either: from here on it takes an order to go on. */
static bool is_decided(struct attempt *a)
{
	enum state state = state_get(attempt_state(a));

	return state == STATE_RESUMED || state == STATE_GIVEN_UP || state == STATE_RELEASED;
}

int look_around(struct attempt *a)
{
	int error;

	filesystems_close(&a->filesystems);
	if (filesystems_scan(&a->filesystems, &a->failure))
		return -1;
	error = petting_find(&a->petting, WATCHDOGS);
	if (error)
		return failure_set(&a->failure, PMSM_E_WATCHDOG_ARMED, error,
				   "nobody could pet it in the window: %s", strerror(-error));
	return 0;
}

int window_run(struct attempt *a)
{
	int error = 0;

	if (!guard_is_alive(&a->guard))
		return failure_set(&a->failure, PMSM_E_INTERNAL, 0, "the guard has died");
	/* The pre-copy has it open already. */
	if (a->snapshot.fd < 0)
		error = a->snapshot.ops->open(&a->snapshot, SNAPSHOT_MODE_SAVE);
	if (error)
		return failure_set(&a->failure, PMSM_E_HIBERNATION_UNAVAILABLE, error,
				   "/dev/snapshot: %s", strerror(-error));
	/* Before the last round somebody has looked. */
	if (memcheck_begin(a) || (a->filesystems.count == 0 && look_around(a)))
		return -1;
	/* Where there are no rounds. */
	bystanders_stand_back(&a->guard.shared->bystanders);
	log_hold(true);
	a->edges_wait = true;
	be_urgent(true);
	for (size_t i = 0; i < ARRAY_SIZE(window); i++) {
		const struct phase_step *step = &window[i];

		edge_mark(a, step->phase, PMSM_EDGE_BEGIN);
		error = fault_strike(a, step->phase);
		if (!error)
			error = step->run(a);
		if (error && a->failure.phase == PMSM_PHASE_NONE)
			a->failure.phase = (uint16_t)step->phase;
		if (error)
			return error;
		if (is_decided(a))
			return 0;
		edge_mark(a, step->phase, PMSM_EDGE_END);
	}
	return 0;
}

bool kernel_is_ours(struct attempt *a)
{
	struct pmsm_snapshot_phases phases;

	return a->snapshot.ops->phases(&a->snapshot, &phases) == 0;
}

static void remove_quarantine(struct attempt *a)
{
	int error = -EIO;

	/* Only devices that were stopped for a snapshot can have forgotten something. */
	if (a->snapshot_tried) {
		rtnl_refresh_macs(&a->quarantine.route, &a->quarantine.devices, 0);
		if (!kernel_is_ours(a))
			ethtool_renew_stale(&a->quarantine.devices);
	}
	for (int i = 0; error && i < REMOVE_ATTEMPTS; i++) {
		if (i > 0)
			clock_sleep_ms(REMOVE_PAUSE_MS);
		error = quarantine_remove(&a->quarantine, NULL);
	}
	if (error)
		log_text("cannot delete the quarantine: %s; `pmsm-freeze recover` does it",
			 strerror(-error));
}

/* Before processes run: whom to tell that this machine is back, and what each of them awaits. */
static void find_peers(struct attempt *a)
{
	if (announce_collect(&a->announcer, &a->quarantine.route, a->options.interface))
		log_text("cannot list the addresses to announce");
	a->nudge.own_fds[0] = a->control.fd;
	a->nudge.own_fds[1] = a->stream.fd;
	nudge_collect(&a->nudge, &a->diag, clock_deadline_ms(NUDGE_BUDGET_MS));
}

static void tell_peers(struct attempt *a)
{
	announce_round(&a->announcer);
	nudge_send(&a->nudge);
}

/*
 * The one way back. Safe to call in every state of the source before GIVEN_UP, and in GIVEN_UP on
 * the order `thaw`. The order matters: our threads first (the kernel wants to thaw alone), then the
 * kernel's (file systems may need them), then file systems and network, so that processes find
 * everything as it was.
 */
int roll_back(struct attempt *a)
{
	const enum state from = state_get(attempt_state(a));
	const bool stood_still = from >= STATE_FROZEN, gave_up = from == STATE_GIVEN_UP;

	/* After the order to thaw, too: should we die on the way, the guard goes on with it. */
	guard_set(&a->guard, GUARD_RECOVER);
	state_leave(attempt_state(a), STATE_THAWING);
	/* The kernel has thawed: the guard must not take this process for one that does not know.
	 */
	if (a->failure.code == PMSM_E_LEASE_ENDED)
		atomic_store(&a->guard.shared->standing, false);
	if (gave_up && a->snapshot.ops->hold(&a->snapshot, false) == 0)
		a->snapshot.ops->lease(&a->snapshot, LEASE_MS);
	deputy_end(a);
	pipeline_stop(&a->pipeline);
	if (stood_still)
		find_peers(a);
	if (a->snapshot.fd >= 0)
		a->snapshot.ops->free_image(&a->snapshot);
	filesystems_thaw(&a->filesystems);
	remove_quarantine(a);
	if (stood_still)
		tell_peers(a);
	atomic_store(&a->guard.shared->standing, false);
	if (a->snapshot.fd >= 0) {
		a->snapshot.ops->thaw(&a->snapshot);
		a->snapshot.ops->close(&a->snapshot);
	}
	guard_set(&a->guard, GUARD_IDLE);
	state_move(attempt_state(a), STATE_THAWING, STATE_ROLLED_BACK);
	be_urgent(false);
	/* Not before: a pipe's reader runs again, and a frozen file system is none any more. */
	log_hold(false);
	a->flow_open = true;
	edges_flush(a);
	edges_log(a);
	control_send_thawed(a, a->failure.code);
	link_close(&a->stream);
	settings_restore(&a->guard.shared->settings);
	if (stood_still)
		clock_sleep_ms(CATCH_UP_MS);
	bystanders_return(&a->guard.shared->bystanders);
	ownership_end(a, a->options.machine);
	log_text("rolled back: %s: %s", pmsm_error_name(a->failure.code), a->failure.detail);
	return 0;
}
