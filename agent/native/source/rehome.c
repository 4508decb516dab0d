// SPDX-License-Identifier: GPL-2.0-only
/*
 * First acts on the new body. Every frame is dropped, in both directions, until this file opens the
 * flow; file systems and processes stay frozen until `go`. There is no way back from here, so what
 * fails is tried again, and what cannot be done is said and left out.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <time.h>

#include "common/clock.h"
#include "common/ethtool.h"
#include "common/log.h"
#include "source/attempt.h"
#include "source/faults.h"

#define LINK_WAIT_MS	 8000
#define LINK_POLL_MS	 2
#define CONNECT_RETRY_MS 120
#define ORDER_POLL_MS	 1000
#define RETRY_PAUSE_MS	 20
#define REMOVE_ATTEMPTS	 100

static void take_mac(struct attempt *a)
{
	int error = rtnl_take_mac(&a->quarantine.route, a->device_index, a->options.target_mac);

	if (error)
		log_text("cannot set the migration MAC: %s", strerror(-error));
}

static void take_address(struct attempt *a)
{
	struct netlink *route = &a->quarantine.route;
	const struct options *o = &a->options;
	int error = rtnl_address_add(route, a->device_index, &o->target_address);

	if (error && error != -EEXIST)
		log_text("cannot add the migration address: %s", strerror(-error));
	if (o->address.address == o->target_address.address)
		return;
	error = rtnl_address_delete(route, a->device_index, &o->address);
	if (error)
		log_text("cannot delete the old migration address: %s", strerror(-error));
}

/* The image's connections belong to the body left behind: they end here without a word. */
static void drop_inherited(struct attempt *a)
{
	int destroyed;

	silent_close(a->control.fd);
	silent_close(a->stream.fd);
	a->control.fd = a->stream.fd = -1;
	/* Also what is left of an earlier attempt, which may pass as soon as the flow is open. */
	destroyed = destroy_connections(&a->diag, a->options.address.address);
	if (destroyed < 0)
		log_text("cannot destroy inherited connections: %s", strerror(-destroyed));
}

static void wait_for_link(struct attempt *a)
{
	uint64_t deadline = clock_deadline_ms(LINK_WAIT_MS);

	while (!ethtool_has_link(a->options.interface) && clock_left_ms(deadline) > 0) {
		petting_pet(&a->petting);
		clock_sleep_ms(LINK_POLL_MS);
	}
}

/* Tries until the orchestrator is reached. A lost SYN costs one short retry, not a second. */
static void report_alive(struct attempt *a)
{
	int error;

	do {
		uint64_t deadline = clock_deadline_ms(CONNECT_RETRY_MS);

		petting_pet(&a->petting);
		link_close(&a->control);
		error = control_connect(a, PMSM_ROLE_RESUMED, a->options.target_address.address,
					deadline);
		if (!error)
			error = control_send_id(a, PMSM_MSG_ALIVE);
		if (error)
			clock_sleep_ms((unsigned int)clock_left_ms(deadline));
	} while (error);
}

/* 1 with go; its realtime is put into *realtime_ns. */
static int take_resumed_frame(struct attempt *a, const struct frame *frame, uint64_t *realtime_ns)
{
	struct pmsm_msg_go go;

	switch (frame->type) {
	case PMSM_MSG_PING:
		return answer_ping(&a->control, frame);
	case PMSM_MSG_GO:
		if (!frame_is_ours(a, frame))
			return -EPROTO;
		memcpy(&go, frame->payload, sizeof(go));
		*realtime_ns = go.realtime_ns;
		return 1;
	default:
		return 0;
	}
}

static void await_go(struct attempt *a, uint64_t *realtime_ns)
{
	uint64_t heard_ns = clock_ns();

	for (;;) {
		struct pollfd p = {.fd = a->control.fd, .events = POLLIN};
		struct frame frame;
		int result;

		petting_pet(&a->petting);
		poll(&p, 1, ORDER_POLL_MS);
		while ((result = link_next(&a->control, &frame)) == 1) {
			heard_ns = clock_ns();
			result = take_resumed_frame(a, &frame, realtime_ns);
			if (result == 1)
				return;
			if (result < 0)
				break;
		}
		if (result < 0 || control_is_silent(heard_ns)) {
			clock_sleep_ms(RETRY_PAUSE_MS);
			report_alive(a);
			heard_ns = clock_ns();
		}
	}
}

static void set_clock(uint64_t realtime_ns, uint64_t received_ns)
{
	uint64_t now = realtime_ns + (clock_ns() - received_ns);
	struct timespec t = {.tv_sec = (time_t)(now / NS_PER_S), .tv_nsec = (long)(now % NS_PER_S)};

	if (realtime_ns != 0 && clock_settime(CLOCK_REALTIME, &t) < 0)
		log_text("cannot set the clock: %s", strerror(errno));
}

static void thaw_everything(struct attempt *a, uint64_t realtime_ns, uint64_t received_ns)
{
	edge_mark(a, PMSM_PHASE_THAW, PMSM_EDGE_BEGIN);
	be_urgent(true);
	/* From go on this body is the machine: if we die half-way, the guard does the rest. */
	state_move(attempt_state(a), STATE_RESUMED, STATE_OWNER);
	identity_take(a);
	guard_set(&a->guard, GUARD_RECOVER);
	/* Held no longer, and not for ever either if something hangs. */
	a->snapshot.ops->hold(&a->snapshot, false);
	lease_renew(a, LEASE_MS);
	deputy_end(a);
	fault_strike_late(a, PMSM_PHASE_THAW);
	a->snapshot.ops->free_image(&a->snapshot);
	for (int i = 0; quarantine_remove(&a->quarantine, NULL) && i < REMOVE_ATTEMPTS; i++)
		clock_sleep_ms(RETRY_PAUSE_MS);
	announce_round(&a->announcer);
	nudge_send(&a->nudge);
	set_clock(realtime_ns, received_ns);
	/*
	 * Processes first: thawing a file system writes to its disk, and a disk that was just reset
	 * may not answer for some 100 ms. Who only reads, or computes, need not wait for that.
	 */
	atomic_store(&a->guard.shared->standing, false);
	a->snapshot.ops->thaw(&a->snapshot);
	filesystems_thaw(&a->filesystems);
	edge_mark(a, PMSM_PHASE_THAW, PMSM_EDGE_END);
	control_send_thawed(a, PMSM_E_NONE);
	if (memcheck_send(a))
		log_text("the digests of memory did not arrive");
	guard_set(&a->guard, GUARD_IDLE);
	state_move(attempt_state(a), STATE_OWNER, STATE_MOVED);
	be_urgent(false);
	log_hold(false);
	edges_log(a);
}

static void announce_again(struct attempt *a)
{
	/* Switches and neighbours may be deaf at first: ports learn, links settle. */
	static const unsigned int pauses_ms[] = {50, 100, 150, 250};

	for (size_t i = 0; i < ARRAY_SIZE(pauses_ms); i++) {
		clock_sleep_ms(pauses_ms[i]);
		announce_round(&a->announcer);
	}
}

/* What the network needs when everybody may use it again. */
static void make_ready(struct attempt *a)
{
	int error;

	rtnl_refresh_macs(&a->quarantine.route, &a->quarantine.devices, a->device_index);
	error = announce_collect(&a->announcer, &a->quarantine.route, a->options.interface);
	if (error)
		log_text("cannot list addresses to announce: %s", strerror(-error));
	a->nudge.own_fds[0] = a->control.fd;
	nudge_collect(&a->nudge, &a->diag, clock_deadline_ms(NUDGE_BUDGET_MS));
}

int rehome(struct attempt *a)
{
	uint64_t realtime_ns = 0, received_ns;

	edge_mark(a, PMSM_PHASE_ALIVE, PMSM_EDGE_BEGIN);
	edge_mark(a, PMSM_PHASE_REHOME, PMSM_EDGE_BEGIN);
	/*
	 * Nobody else runs but threads of the kernel, and those are to: they make the disks answer
	 * again, which everybody will wait for.
	 */
	be_urgent(false);
	fault_strike(a, PMSM_PHASE_ALIVE);
	petting_set_timeouts(&a->petting);
	take_mac(a);
	take_address(a);
	drop_inherited(a);
	if (!kernel_is_ours(a))
		ethtool_renew_stale(&a->quarantine.devices);
	while (quarantine_open(&a->quarantine, a->options.target_mac))
		clock_sleep_ms(RETRY_PAUSE_MS);
	edge_mark(a, PMSM_PHASE_REHOME, PMSM_EDGE_END);
	edge_mark(a, PMSM_PHASE_LINK_UP, PMSM_EDGE_BEGIN);
	wait_for_link(a);
	report_alive(a);
	edge_mark(a, PMSM_PHASE_LINK_UP, PMSM_EDGE_END);
	a->flow_open = true;
	edge_mark(a, PMSM_PHASE_ALIVE, PMSM_EDGE_END);
	control_send_stamps(a);
	/* The orchestrator makes its record meanwhile. */
	make_ready(a);
	fault_strike(a, PMSM_PHASE_GO);
	await_go(a, &realtime_ns);
	received_ns = clock_ns();
	fault_strike(a, PMSM_PHASE_THAW);
	thaw_everything(a, realtime_ns, received_ns);
	ownership_end(a, a->options.target_machine);
	petting_restart(&a->petting);
	announce_again(a);
	/* Gives back what was kept for the move, in large pieces: services come first. */
	a->snapshot.ops->close(&a->snapshot);
	settings_restore(&a->guard.shared->settings);
	clock_sleep_ms(CATCH_UP_MS);
	bystanders_return(&a->guard.shared->bystanders);
	return 0;
}
