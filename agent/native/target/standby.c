// SPDX-License-Identifier: GPL-2.0-only
#include "target/standby.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ethtool.h"
#include "common/facts.h"
#include "common/log.h"
#include "target/devices.h"

#define SEND_TIMEOUT_MS	   2000
#define CONNECT_TIMEOUT_MS 2000
#define RETRY_MIN_MS	   500
#define RETRY_MAX_MS	   2000
#define PING_AFTER_MS	   4000
#define DEAD_AFTER_MS	   10000
#define LINK_WAIT_MS	   8000
#define PROGRESS_MS	   100
#define MEMORY_MIN_BYTES   (64u << 20)

uint64_t standby_send_deadline(void)
{
	return clock_deadline_ms(SEND_TIMEOUT_MS);
}

static int say(struct standby *s, uint16_t type, const void *fixed)
{
	return link_send(&s->control, type, fixed, NULL, 0, standby_send_deadline());
}

static int say_waiting(struct standby *s, const struct attempt_id *dropped)
{
	struct pmsm_msg_waiting m = {.generation = dropped->generation};

	memcpy(m.attempt, dropped->attempt, ATTEMPT_BYTES);
	return say(s, PMSM_MSG_WAITING, &m);
}

static int say_ready(struct standby *s)
{
	struct pmsm_msg_ready m = {.generation = s->id.generation,
				   .chunks = s->loader.chunks,
				   .raw_bytes = s->loader.raw_bytes,
				   .chain = s->loader.chain};

	memcpy(m.attempt, s->id.attempt, ATTEMPT_BYTES);
	return say(s, PMSM_MSG_READY, &m);
}

static int say_edge(struct standby *s, enum pmsm_phase phase, enum pmsm_edge edge, uint64_t cycles)
{
	struct pmsm_msg_phase m = {
	    .phase = (uint16_t)phase, .edge = (uint8_t)edge, .cycles = cycles};

	return say(s, PMSM_MSG_PHASE, &m);
}

static void say_error(struct link *link, const struct failure *failure)
{
	struct pmsm_msg_error m = {.code = failure->code,
				   .phase = failure->phase,
				   .system_errno = (uint32_t)failure->system_errno};

	if (link_is_open(link))
		link_send(link, PMSM_MSG_ERROR, &m, failure->detail, strlen(failure->detail),
			  clock_deadline_ms(500));
}

/* Gives back everything of the attempt. The order matters: threads end before anything thaws. */
static void drop_attempt(struct standby *s)
{
	const struct loader *l = &s->loader;

	if (l->chunks > 0)
		log_text("loaded %llu MB ahead, %llu MB of image; processor ms: receive %llu, "
			 "unpack %llu, load %llu",
			 (unsigned long long)l->ahead_bytes / 1000000,
			 (unsigned long long)l->loaded_bytes / 1000000,
			 (unsigned long long)(l->receive_ns / NS_PER_MS),
			 (unsigned long long)(l->unpack_ns / NS_PER_MS),
			 (unsigned long long)(l->write_ns / NS_PER_MS));
	loader_stop(&s->loader);
	if (s->snapshot.fd >= 0) {
		s->snapshot.ops->close(&s->snapshot);
		s->snapshot.fd = -1;
	}
	link_close(&s->stream);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	s->listen_fd = -1;
	s->state = STANDBY_WAITING;
	s->id = (struct attempt_id){0};
}

static void drop_and_wait(struct standby *s, const char *why)
{
	struct attempt_id dropped = s->id;

	log_text("attempt dropped: %s", why);
	drop_attempt(s);
	say_waiting(s, &dropped);
}

/* The attempt failed here: both peers hear why, and the control link ends, as the protocol has it.
 */
void standby_give_up(struct standby *s, const struct failure *failure)
{
	log_text("attempt failed: %s: %s", pmsm_error_name(failure->code), failure->detail);
	say_error(&s->stream, failure);
	say_error(&s->control, failure);
	drop_attempt(s);
	link_close(&s->control);
}

static int take_reserve(struct standby *s, const struct frame *frame)
{
	struct pmsm_msg_reserved answer = {0};
	struct failure failure = {.phase = PMSM_PHASE_RESERVE};
	struct pmsm_msg_reserve m;

	memcpy(&m, frame->payload, sizeof(m));
	if (s->state != STANDBY_WAITING) {
		failure_set(&failure, PMSM_E_CONFLICT, 0, "another attempt has this standby");
		say_error(&s->control, &failure);
		return 0;
	}
	if (facts_available_bytes() < MEMORY_MIN_BYTES) {
		failure_set(&failure, PMSM_E_TARGET_MEMORY, ENOMEM, "less than 64 MiB are free");
		standby_give_up(s, &failure);
		return 0;
	}
	s->port = m.port ? m.port : s->stream_port;
	s->listen_fd =
	    migration_listen(migration_device(&s->settings), s->settings.address.address, s->port);
	if (s->listen_fd < 0) {
		int error = -s->listen_fd;

		s->listen_fd = -1;
		failure_set(&failure,
			    error == EADDRINUSE ? PMSM_E_PORT_TAKEN : PMSM_E_RESERVE_FAILED, error,
			    "port %u: %s", s->port, strerror(error));
		standby_give_up(s, &failure);
		return 0;
	}
	memcpy(s->id.attempt, m.attempt, ATTEMPT_BYTES);
	s->id.generation = m.generation;
	s->source_address = m.source_address;
	s->lease_ms = m.lease_ms ? m.lease_ms : PMSM_PHASE_TIMEOUT_MS_PREPARE;
	s->lease_end_ns = clock_deadline_ms(s->lease_ms);
	s->state = STANDBY_RESERVED;
	memcpy(answer.attempt, m.attempt, ATTEMPT_BYTES);
	answer.generation = m.generation;
	answer.port = s->port;
	log_text("reserved, listening on port %u", s->port);
	fault_begin(&s->fault, PMSM_PHASE_RESERVE);
	return say(s, PMSM_MSG_RESERVED, &answer);
}

/*
 * A stock e1000e leaves the receiver of the 82574 on while the kernel hands over: frames that
 * arrive then are written into memory that belongs to the image already. Taken down, the device is
 * reset. Our kernel does so by itself; other drivers stop their devices.
 */
static void set_leaking_nics(struct standby *s, bool up)
{
	struct pmsm_snapshot_phases phases;

	if (s->snapshot.ops->phases(&s->snapshot, &phases) == 0 ||
	    rtnl_netdevs(&s->route, &s->devices))
		return;
	for (size_t i = 0; i < s->devices.count; i++) {
		const struct netdev *device = &s->devices.devices[i];

		if (netdev_driver_is(device->name, "e1000e"))
			rtnl_set_up(&s->route, device->index, up);
	}
}

static void wait_for_link(const struct standby *s)
{
	uint64_t deadline = clock_deadline_ms(LINK_WAIT_MS);

	while (!ethtool_has_link(migration_device(&s->settings)) && clock_left_ms(deadline) > 0)
		clock_sleep_ms(10);
}

static int take_jump(struct standby *s)
{
	struct pmsm_msg_not_jumped m = {.generation = s->id.generation};
	struct attempt_id dropped = s->id;
	int error;

	if (s->state != STANDBY_READY)
		return -EPROTO;
	fault_begin(&s->fault, PMSM_PHASE_JUMP);
	say_edge(s, PMSM_PHASE_JUMP, PMSM_EDGE_BEGIN, clock_cycles());
	set_leaking_nics(s, false);
	error = s->snapshot.ops->restore(&s->snapshot);
	/* Only a refusal comes back here; else the image's kernel has this machine. */
	log_text("the kernel did not jump: %s", strerror(-error));
	memcpy(m.attempt, s->id.attempt, ATTEMPT_BYTES);
	m.system_errno = (uint32_t)-error;
	set_leaking_nics(s, true);
	wait_for_link(s);
	/* First give the image up, then say so: on that word the source is thawed. */
	drop_attempt(s);
	error = say(s, PMSM_MSG_NOT_JUMPED, &m);
	return error ? error : say_waiting(s, &dropped);
}

static int take_pong_request(struct standby *s, const struct frame *frame)
{
	struct pmsm_msg_pong pong = {0};
	struct pmsm_msg_ping ping;

	memcpy(&ping, frame->payload, sizeof(ping));
	pong.cookie = ping.cookie;
	pong.cycles = clock_cycles();
	pong.realtime_ns = clock_realtime_ns();
	return say(s, PMSM_MSG_PONG, &pong);
}

static bool names_our_attempt(const struct standby *s, const struct frame *frame)
{
	struct pmsm_msg_jump m; /* attempt and generation are first in all of them */

	memcpy(&m, frame->payload, sizeof(m));
	return s->state != STANDBY_WAITING && attempt_same(&s->id, m.attempt, m.generation);
}

static int take_order(struct standby *s, const struct frame *frame)
{
	switch (frame->type) {
	case PMSM_MSG_PING:
		return take_pong_request(s, frame);
	case PMSM_MSG_HELLO:
	case PMSM_MSG_PONG:
		return 0;
	case PMSM_MSG_RESERVE:
		return take_reserve(s, frame);
	case PMSM_MSG_ABORT:
		/* An abort of an attempt that is gone already needs no more than the state of
		 * things. */
		if (names_our_attempt(s, frame))
			drop_and_wait(s, "the orchestrator ended it");
		return 0;
	case PMSM_MSG_JUMP:
		return names_our_attempt(s, frame) ? take_jump(s) : -EPROTO;
	default:
		return -EPROTO;
	}
}

static int tell_progress(struct standby *s, bool now)
{
	const struct loader *l = &s->loader;
	struct pmsm_msg_progress m = {.raw_bytes = l->loaded_bytes,
				      .ahead_bytes = l->ahead_bytes,
				      .rounds = loader_rounds(l)};
	uint64_t bytes = m.raw_bytes + m.ahead_bytes;

	if (!s->told_receive && l->first_cycles) {
		s->told_receive = true;
		fault_begin(&s->fault, PMSM_PHASE_SEND);
		say_edge(s, PMSM_PHASE_RECEIVE, PMSM_EDGE_BEGIN, l->first_cycles);
	}
	/* The source waits for the end of a round. */
	now = now || m.rounds != s->told_rounds;
	if ((bytes == s->told_bytes && m.rounds == s->told_rounds) ||
	    (!now && clock_ns() - s->told_ns < PROGRESS_MS * NS_PER_MS))
		return 0;
	s->told_bytes = bytes;
	s->told_rounds = m.rounds;
	s->told_ns = clock_ns();
	return link_send(&s->stream, PMSM_MSG_PROGRESS, &m, NULL, 0, standby_send_deadline());
}

static int serve_loading(struct standby *s)
{
	struct loader *l = &s->loader;
	int error;

	if (l->failed) {
		standby_give_up(s, &l->failure);
		return 0;
	}
	if (!l->finished) {
		tell_progress(s, false);
		return 0;
	}
	say_edge(s, PMSM_PHASE_RECEIVE, PMSM_EDGE_END, clock_cycles());
	fault_begin(&s->fault, PMSM_PHASE_VERIFY);
	s->state = STANDBY_READY;
	error = say_ready(s);
	fault_begin(&s->fault, PMSM_PHASE_COMMIT);
	/* What is left is done while the orchestrator makes its record. */
	tell_progress(s, true);
	/* Ends the threads, keeps the totals: what follows needs no ring any more. */
	loader_stop(l);
	/* No word on the console now: the jump would wait until a serial line has taken it. */
	return error;
}

/* The link to the orchestrator: an answer, or at least a sign of life, every now and then. */
static int check_alive(struct standby *s)
{
	struct pmsm_msg_ping ping = {.cookie = 0};
	uint64_t now = clock_ns();

	if (now - s->heard_ns > DEAD_AFTER_MS * NS_PER_MS)
		return -ETIMEDOUT;
	if (now - s->heard_ns < PING_AFTER_MS * NS_PER_MS ||
	    now - s->asked_ns < PING_AFTER_MS / 2 * NS_PER_MS)
		return 0;
	s->asked_ns = now;
	return say(s, PMSM_MSG_PING, &ping);
}

/* After everybody has been told that an attempt is over: whoever waits for that needs no disk of
 * ours. */
static void take_back_disks(struct standby *s)
{
	if (!s->disks_released || s->state != STANDBY_WAITING)
		return;
	devices_take_back_disks(DEVICES_ROOT, DEVICES_PROBE);
	s->disks_released = false;
}

/* Serves until the control link ends; the reason. */
static int serve(struct standby *s)
{
	for (;;) {
		struct pollfd fds[3] = {{.fd = s->control.fd, .events = POLLIN},
					{.fd = s->listen_fd, .events = POLLIN},
					{.fd = s->loader.wake_fd, .events = POLLIN}};
		struct frame frame;
		int result;

		if (!link_is_open(&s->control))
			return -ECONNRESET; /* we ended it ourselves, after an error */
		take_back_disks(s);
		if (s->state != STANDBY_LOADING)
			fds[2].fd = -1;
		poll(fds, 3, s->state == STANDBY_LOADING ? PROGRESS_MS / 2 : 1000);
		if (fds[2].fd >= 0 && fds[2].revents)
			loader_awake(&s->loader);
		while ((result = link_next(&s->control, &frame)) == 1) {
			s->heard_ns = clock_ns();
			result = take_order(s, &frame);
			if (result < 0)
				return result;
		}
		if (result < 0)
			return result;
		if (s->state == STANDBY_RESERVED && fds[1].revents)
			standby_accept(s);
		else if (s->state == STANDBY_RESERVED && clock_left_ms(s->lease_end_ns) == 0)
			drop_and_wait(s, "nobody opened the stream within the lease");
		else if (s->state == STANDBY_LOADING)
			result = serve_loading(s);
		if (result == 0)
			result = check_alive(s);
		if (result < 0)
			return result;
	}
}

static int introduce(struct standby *s)
{
	uint64_t deadline = clock_deadline_ms(CONNECT_TIMEOUT_MS);
	struct pmsm_msg_hello hello = {.role = PMSM_ROLE_STANDBY,
				       .generation = s->id.generation,
				       .cycles_khz = clock_cycles_khz()};
	struct facts_context context = {.rehearsal = rehearsal_name(s->rehearsal)};
	struct attempt_id none = {0};
	size_t facts_bytes;
	int error;
	int fd = migration_connect(migration_device(&s->settings), s->settings.address.address,
				   &s->settings.orchestrator, false, deadline);

	if (fd < 0)
		return fd;
	memcpy(hello.attempt, s->id.attempt, ATTEMPT_BYTES);
	link_open(&s->control, fd, s->control_buffer, sizeof(s->control_buffer),
		  PMSM_LIMIT_CONTROL_PAYLOAD_BYTES);
	s->heard_ns = s->asked_ns = clock_ns();
	error = link_send(&s->control, PMSM_MSG_HELLO, &hello, NULL, 0, deadline);
	/* Not while an image is held: /dev/snapshot is ours then, and the probe would fail. */
	context.probe = s->state == STANDBY_WAITING;
	facts_bytes = facts_write(s->facts, sizeof(s->facts), &context);
	if (!error)
		error =
		    link_send(&s->control, PMSM_MSG_FACTS, NULL, s->facts, facts_bytes, deadline);
	if (error)
		return error;
	return s->state == STANDBY_READY ? say_ready(s) : say_waiting(s, &none);
}

void standby_run(struct standby *s)
{
	unsigned int pause = RETRY_MIN_MS;
	int said = 0;

	for (;;) {
		int error = introduce(s);

		if (error) {
			if (error != said)
				log_text("the orchestrator cannot be reached: %s; trying on",
					 strerror(-error));
			said = error;
			link_close(&s->control);
			clock_sleep_ms(pause);
			pause = pause * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : pause * 2;
			continue;
		}
		log_text("waiting at the orchestrator");
		said = 0;
		pause = RETRY_MIN_MS;
		error = serve(s);
		link_close(&s->control);
		log_text("the control link ended: %s", strerror(-error));
		if (s->state != STANDBY_READY && s->state != STANDBY_WAITING) {
			log_text("attempt dropped with it");
			drop_attempt(s);
		}
	}
}
