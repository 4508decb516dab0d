// SPDX-License-Identifier: GPL-2.0-only
/* Everything that can be done before the window, so that the window need not. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/facts.h"
#include "source/attempt.h"
#include "source/faults.h"
#include "source/measure.h"
#include "source/reclaim.h"
#include "source/watch.h"

#define CONNECT_TIMEOUT_MS 5000
/* The target takes nearly all of its memory before it accepts. */
#define ACCEPT_TIMEOUT_MS 30000
#define FREEZE_TIMEOUT_MS "3000"
#define IDLE_POLL_MS	  1000
#define DEVICE_BUSY_MS	  1000
#define DEVICE_POLL_MS	  50
#define RECLAIM_LIMIT_MS  2000
#define LEARN_LIMIT_MS	  1000

bool told_to_end(void)
{
	sigset_t pending;

	sigpending(&pending);
	return sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT);
}

static void change_settings(struct attempt *a)
{
	struct settings *settings = &a->guard.shared->settings;
	char path[96];

	/* A process that does not freeze costs its owner this much downtime, not 20 s. */
	setting_change(settings, "/sys/power/pm_freeze_timeout", FREEZE_TIMEOUT_MS);
	/* The stream is idle while the snapshot is taken and must start again at full speed. */
	setting_change(settings, "/proc/sys/net/ipv4/tcp_slow_start_after_idle", "0");
	/* The new body takes its address before it deletes the old one. */
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%.15s/promote_secondaries",
		 a->options.interface);
	setting_change(settings, path, "1");
	/* On a link that has just come up the first question is often lost: ask again soon, not in
	 * 1 s. */
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/neigh/%.15s/retrans_time_ms",
		 a->options.interface);
	setting_change(settings, path, "50");
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/neigh/%.15s/mcast_solicit",
		 a->options.interface);
	setting_change(settings, path, "60");
}

static int await_hello(struct attempt *a, struct link *link, const char *peer, uint64_t deadline)
{
	struct pmsm_msg_hello hello;
	struct frame frame;
	int error = link_wait(link, &frame, deadline);

	if (!error && frame.type == PMSM_MSG_HELLO) {
		memcpy(&hello, frame.payload, sizeof(hello));
		if (attempt_same(&a->options.id, hello.attempt, hello.generation))
			return 0;
		error = -EPROTO;
	} else if (!error) {
		error = -EPROTO;
	}
	return failure_set(&a->failure, link_error_code(error, PMSM_E_STREAM_FAILED), error,
			   "no valid hello from the %s: %s", peer, strerror(-error));
}

static int connect_orchestrator(struct attempt *a)
{
	uint64_t deadline = clock_deadline_ms(CONNECT_TIMEOUT_MS);
	int error = control_connect(a, PMSM_ROLE_SOURCE, a->options.address.address, deadline);

	if (error)
		return failure_set(&a->failure, PMSM_E_ORCHESTRATOR_LOST, error,
				   "cannot connect to the orchestrator: %s", strerror(-error));
	a->flow_open = true;
	return await_hello(a, &a->control, "orchestrator", deadline);
}

/* Of the images that leave out what was sent before; 0 if this one leaves out nothing. */
static int find_image_format(struct attempt *a, uint32_t *format)
{
	uint64_t deadline = clock_deadline_ms(DEVICE_BUSY_MS);
	int error;

	*format = 0;
	if (a->options.engine != PMSM_ENGINE_DELTA)
		return 0;
	/* `pmsm-freeze facts --probe` has it open for a moment. */
	while ((error = a->snapshot.ops->open(&a->snapshot, SNAPSHOT_MODE_LIVE)) == -EBUSY &&
	       clock_left_ms(deadline) > 0)
		clock_sleep_ms(DEVICE_POLL_MS);
	if (error)
		return failure_set(&a->failure, PMSM_E_HIBERNATION_UNAVAILABLE, error,
				   "/dev/snapshot: %s", strerror(-error));
	*format = snapshot_image_format(&a->snapshot);
	a->snapshot.ops->close(&a->snapshot);
	return 0;
}

static int connect_target(struct attempt *a)
{
	uint64_t deadline = clock_deadline_ms(CONNECT_TIMEOUT_MS);
	struct pmsm_msg_hello hello = {.role = PMSM_ROLE_SOURCE,
				       .generation = a->options.id.generation,
				       .cycles_khz = a->cycles_khz};
	struct pmsm_msg_stream_open open_message = {.chunk_bytes = a->options.chunk_bytes,
						    .engine = a->options.engine};
	struct pmsm_msg_stream_accept accept;
	uint32_t image_format;
	struct frame frame;
	int error, fd;

	if (find_image_format(a, &image_format))
		return -1;
	open_message.image_format = image_format;
	fd = migration_connect(a->options.interface, a->options.address.address, &a->options.target,
			       true, deadline);
	error = fd < 0 ? fd : 0;
	memcpy(hello.attempt, a->options.id.attempt, ATTEMPT_BYTES);
	if (!error) {
		link_open(&a->stream, fd, a->stream_buffer, sizeof(a->stream_buffer),
			  PMSM_LIMIT_CONTROL_PAYLOAD_BYTES);
		error = link_send(&a->stream, PMSM_MSG_HELLO, &hello, NULL, 0, deadline);
	}
	if (!error)
		error =
		    link_send(&a->stream, PMSM_MSG_STREAM_OPEN, &open_message, NULL, 0, deadline);
	if (error)
		return failure_set(&a->failure, PMSM_E_TARGET_LOST, error,
				   "cannot connect to the target: %s", strerror(-error));
	if (await_hello(a, &a->stream, "target", deadline))
		return -1;
	error = link_wait(&a->stream, &frame, clock_deadline_ms(ACCEPT_TIMEOUT_MS));
	if (!error && frame.type == PMSM_MSG_ERROR)
		return take_target_error(a, &frame);
	if (!error && frame.type != PMSM_MSG_STREAM_ACCEPT)
		error = -EPROTO;
	if (!error) {
		memcpy(&accept, frame.payload, sizeof(accept));
		if (accept.chunk_bytes < a->options.chunk_bytes ||
		    accept.image_format != open_message.image_format)
			error = -EPROTO;
		a->occupied_pfn = accept.occupied_pfn;
		a->occupied_end_pfn = accept.occupied_end_pfn;
	}
	if (error)
		return failure_set(&a->failure, link_error_code(error, PMSM_E_TARGET_LOST), error,
				   "the target did not accept the stream: %s", strerror(-error));
	return 0;
}

static int find_device(struct attempt *a)
{
	struct netdevs *devices = &a->quarantine.devices;
	const struct netdev *device;
	int error = quarantine_prepare(&a->quarantine, a->options.interface);

	if (!error)
		error = rtnl_netdevs(&a->quarantine.route, devices);
	if (error)
		return failure_set(&a->failure, PMSM_E_QUARANTINE_UNAVAILABLE, error,
				   "cannot list network devices: %s", strerror(-error));
	device = netdev_by_name(devices, a->options.interface);
	if (!device)
		return failure_set(&a->failure, PMSM_E_BAD_REQUEST, ENODEV,
				   "there is no interface %s", a->options.interface);
	memcpy(a->mac, device->mac, MAC_BYTES);
	a->device_index = device->index;
	error = quarantine_probe(&a->quarantine);
	if (error)
		return failure_set(&a->failure, PMSM_E_QUARANTINE_UNAVAILABLE, error,
				   "nftables at devices: %s", strerror(-error));
	return 0;
}

static int send_prepared(struct attempt *a)
{
	int error;

	a->measured.total_bytes = facts_total_bytes();
	a->measured.used_bytes = facts_used_bytes();
	error = link_send(&a->control, PMSM_MSG_PREPARED, &a->measured, NULL, 0,
			  clock_deadline_ms(CONNECT_TIMEOUT_MS));
	if (error)
		return failure_set(&a->failure, PMSM_E_ORCHESTRATOR_LOST, error,
				   "cannot report to the orchestrator: %s", strerror(-error));
	return 0;
}

/*
 * A tracer is frozen with everybody else, and then this process waits for it at its next system
 * call or signal: the machine would stand still for ever, and the guard as well if it is traced.
 */
static int refuse_tracer(struct attempt *a)
{
	int tracer = facts_tracer();

	if (!tracer)
		return 0;
	return failure_set(&a->failure, PMSM_E_WOULD_NOT_FREEZE, 0,
			   "process %d traces pmsm-freeze, and would be frozen while that waits "
			   "for it",
			   tracer);
}

int prepare(struct attempt *a)
{
	int error;

	a->control.fd = a->stream.fd = a->diag.fd = a->announcer.fd = -1;
	a->snapshot.fd = -1;
	if (marker_exists())
		return failure_set(&a->failure, PMSM_E_CONFLICT, 0,
				   "an earlier attempt holds this machine");
	a->lock_fd = attempt_lock();
	if (a->lock_fd < 0)
		return failure_set(&a->failure,
				   a->lock_fd == -EWOULDBLOCK ? PMSM_E_CONFLICT : PMSM_E_INTERNAL,
				   -a->lock_fd, "another attempt is under way on this machine");
	if (refuse_tracer(a))
		return -1;
	/* The guard comes first: it must inherit no connection and no thread. */
	error = guard_start(&a->guard);
	if (!error)
		error = pipeline_init(&a->pipeline, &a->options);
	if (!error)
		error = diag_open(&a->diag);
	if (!error)
		error = announce_open(&a->announcer);
	if (!error)
		error = nudge_open(&a->nudge);
	if (error)
		return failure_set(&a->failure, PMSM_E_INTERNAL, error, "cannot prepare: %s",
				   strerror(-error));
	/* To refuse early; until the window anything may be mounted, or unmounted, so do not hold
	 * them. */
	if (find_device(a) || filesystems_scan(&a->filesystems, &a->failure))
		return -1;
	filesystems_close(&a->filesystems);
	if (fault_strike(a, PMSM_PHASE_PREPARE))
		return -1;
	if (nudge_learn(&a->nudge, &a->diag, clock_deadline_ms(LEARN_LIMIT_MS)) < 0)
		log_text("cannot list the connections");
	bystanders_find(&a->guard.shared->bystanders, kernel_log_files,
			ARRAY_SIZE(kernel_log_files), getppid(), clock_deadline_ms(LEARN_LIMIT_MS));
	change_settings(a);
	a->cycles_khz = clock_cycles_khz();
	if (connect_orchestrator(a))
		return -1;
	edge_mark(a, PMSM_PHASE_PREPARE, PMSM_EDGE_BEGIN);
	if (connect_target(a) || measure(a))
		return -1;
	/* Most dirty pages go now, so that little is left for the order. */
	sync();
	edge_mark(a, PMSM_PHASE_PREPARE, PMSM_EDGE_END);
	if (ownership_begin(a) || send_prepared(a))
		return -1;
	state_move(attempt_state(a), STATE_STARTED, STATE_PREPARED);
	return 0;
}

/* An order that the helper waits for: FREEZE or PRECOPY. */
struct awaited {
	uint16_t type;
	bool came;
	struct precopy_limits *limits; /* that PRECOPY brings */
};

static int take_order(struct attempt *a, const struct frame *frame, struct awaited *awaited)
{
	struct pmsm_msg_precopy m;

	if (frame->type != awaited->type)
		return take_common_frame(a, frame);
	if (!frame_is_ours(a, frame))
		return -EPROTO;
	if (awaited->limits) {
		memcpy(&m, frame->payload, sizeof(m));
		if (m.rounds_max == 0)
			return -EPROTO;
		*awaited->limits = (struct precopy_limits){.downtime_limit_ms = m.downtime_limit_ms,
							   .rounds_max = m.rounds_max,
							   .bytes_per_s = m.bytes_per_s,
							   .throttle = m.throttle != 0};
	}
	awaited->came = true;
	return 0;
}

/* The target has nothing to say but what it has loaded. */
static int take_idle_stream(struct attempt *a)
{
	struct frame frame;
	int result = link_next(&a->stream, &frame);

	if (result == 0 || (result == 1 && frame.type == PMSM_MSG_PROGRESS))
		return 0;
	if (result == 1 && frame.type == PMSM_MSG_ERROR)
		return take_target_error(a, &frame);
	return failure_set(&a->failure, PMSM_E_TARGET_LOST, result < 0 ? result : 0,
			   "the target ended the stream");
}

static int await_order(struct attempt *a, struct awaited *awaited)
{
	uint64_t deadline = clock_deadline_ms(PMSM_PHASE_TIMEOUT_MS_PREPARE);

	while (!awaited->came) {
		struct pollfd p[2] = {{.fd = a->control.fd, .events = POLLIN},
				      {.fd = a->stream.fd, .events = POLLIN}};
		int left = clock_left_ms(deadline), error = 0;
		struct frame frame;

		if (left == 0)
			return failure_set(&a->failure, PMSM_E_TIMEOUT, 0, "no order came");
		poll(p, 2, left < IDLE_POLL_MS ? left : IDLE_POLL_MS);
		while (!awaited->came && !error && (error = link_next(&a->control, &frame)) == 1)
			error = take_order(a, &frame, awaited);
		if (a->failure.code)
			return -1;
		if (error < 0)
			return failure_set(&a->failure,
					   link_error_code(error, PMSM_E_ORCHESTRATOR_LOST), error,
					   "control link: %s", strerror(-error));
		if (take_idle_stream(a))
			return -1;
	}
	return 0;
}

int await_precopy(struct attempt *a, struct precopy_limits *limits)
{
	struct awaited awaited = {.type = PMSM_MSG_PRECOPY, .limits = limits};

	return await_order(a, &awaited);
}

/* Last things that are better done outside of the window, and would be stale if done earlier. */
static void before_window(struct attempt *a)
{
	throttle_end(&a->throttle);
	/* A line on a serial console takes longer than the step that it tells of. */
	setting_change(&a->guard.shared->settings, "/proc/sys/kernel/printk", "1");
	/* The pre-copy has seen to it: every moment now adds to what has changed. */
	if (a->options.engine == PMSM_ENGINE_DELTA)
		return;
	/* SNAPSHOT_FREEZE syncs again, inside the window: leave it nothing to do. */
	sync();
	if (!a->options.keep_cache)
		reclaim_cache(clock_deadline_ms(RECLAIM_LIMIT_MS));
}

int await_freeze(struct attempt *a)
{
	struct awaited awaited = {.type = PMSM_MSG_FREEZE};

	if (await_order(a, &awaited) || refuse_tracer(a))
		return -1;
	before_window(a);
	return 0;
}
