// SPDX-License-Identifier: GPL-2.0-only
/* The link to the orchestrator, and the phase edges that travel on it. */
#include <errno.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"
#include "source/attempt.h"

#define SEND_TIMEOUT_MS	  1000
#define STAMPS_TIMEOUT_MS 120
/* The orchestrator asks once a second. */
#define SILENT_AFTER_MS 10000

void edge_mark(struct attempt *a, enum pmsm_phase phase, enum pmsm_edge edge)
{
	if (a->edges_count == EDGES_MAX)
		return;
	a->edges[a->edges_count++] = (struct edge){
	    .phase = (uint16_t)phase, .edge = (uint8_t)edge, .cycles = clock_cycles()};
	edges_flush(a);
	if (!a->edges_wait)
		edges_log(a);
}

/* Those that have not been logged yet; from here on each is logged at once. */
void edges_log(struct attempt *a)
{
	char json[128];

	a->edges_wait = false;
	while (a->edges_logged < a->edges_count) {
		const struct edge *e = &a->edges[a->edges_logged++];

		snprintf(json, sizeof(json), "{\"phase\":\"%s\",\"edge\":\"%s\",\"cycles\":%llu}",
			 pmsm_phase_name(e->phase), pmsm_edge_name(e->edge),
			 (unsigned long long)e->cycles);
		log_event(json);
	}
}

/* Sends what waits, if the link may be used. A failure shows when the link is used next. */
void edges_flush(struct attempt *a)
{
	uint64_t deadline = clock_deadline_ms(SEND_TIMEOUT_MS);

	while (a->flow_open && a->edges_sent < a->edges_count) {
		const struct edge *e = &a->edges[a->edges_sent];
		struct pmsm_msg_phase m = {.phase = e->phase, .edge = e->edge, .cycles = e->cycles};

		if (link_send(&a->control, PMSM_MSG_PHASE, &m, NULL, 0, deadline))
			return;
		a->edges_sent++;
	}
}

/* Connects and says hello; the answer to it is for the caller to await. */
int control_connect(struct attempt *a, enum pmsm_role role, uint32_t from, uint64_t deadline_ns)
{
	struct pmsm_msg_hello hello = {.role = (uint8_t)role,
				       .generation = a->options.id.generation,
				       .cycles_khz = a->cycles_khz};
	int fd = migration_connect(a->options.interface, from, &a->options.orchestrator, false,
				   deadline_ns);
	int error;

	if (fd < 0)
		return fd;
	memcpy(hello.attempt, a->options.id.attempt, ATTEMPT_BYTES);
	link_open(&a->control, fd, a->control_buffer, sizeof(a->control_buffer),
		  PMSM_LIMIT_CONTROL_PAYLOAD_BYTES);
	error = link_send(&a->control, PMSM_MSG_HELLO, &hello, NULL, 0, deadline_ns);
	if (error)
		link_close(&a->control);
	return error;
}

/* Messages that hold nothing but the attempt. */
int control_send_id(struct attempt *a, uint16_t type)
{
	struct pmsm_msg_given_up m = {.generation = a->options.id.generation};

	_Static_assert(sizeof(m) == sizeof(struct pmsm_msg_alive), "same fields");
	_Static_assert(sizeof(m) == sizeof(struct pmsm_msg_released), "same fields");
	memcpy(m.attempt, a->options.id.attempt, ATTEMPT_BYTES);
	return link_send(&a->control, type, &m, NULL, 0, clock_deadline_ms(SEND_TIMEOUT_MS));
}

bool control_is_silent(uint64_t heard_ns)
{
	return clock_ns() - heard_ns > SILENT_AFTER_MS * NS_PER_MS;
}

void control_send_thawed(struct attempt *a, uint32_t code)
{
	struct pmsm_msg_thawed m = {.generation = a->options.id.generation, .code = code};

	memcpy(m.attempt, a->options.id.attempt, ATTEMPT_BYTES);
	if (link_send(&a->control, PMSM_MSG_THAWED, &m, NULL, 0,
		      clock_deadline_ms(SEND_TIMEOUT_MS)))
		log_text("could not report the thaw");
}

/* Orders hold attempt and generation at their beginning; anything else is not for us. */
bool frame_is_ours(const struct attempt *a, const struct frame *frame)
{
	struct pmsm_msg_freeze m;

	switch (frame->type) {
	case PMSM_MSG_FREEZE:
	case PMSM_MSG_PRECOPY:
	case PMSM_MSG_ABORT:
	case PMSM_MSG_COMMIT:
	case PMSM_MSG_THAW:
	case PMSM_MSG_RELEASE:
	case PMSM_MSG_GO:
		memcpy(&m, frame->payload, sizeof(m));
		return attempt_same(&a->options.id, m.attempt, m.generation);
	default:
		return false;
	}
}

int answer_ping(struct link *link, const struct frame *frame)
{
	struct pmsm_msg_pong pong = {0};
	struct pmsm_msg_ping ping;

	memcpy(&ping, frame->payload, sizeof(ping));
	pong.cookie = ping.cookie;
	pong.cycles = clock_cycles();
	pong.realtime_ns = clock_realtime_ns();
	return link_send(link, PMSM_MSG_PONG, &pong, NULL, 0, clock_deadline_ms(SEND_TIMEOUT_MS));
}

/* The order to end the attempt: nonzero, and a->failure says why unless it is not ours. */
static int take_abort(struct attempt *a, const struct frame *frame)
{
	struct pmsm_msg_abort m;

	if (!frame_is_ours(a, frame))
		return -EPROTO;
	memcpy(&m, frame->payload, sizeof(m));
	/* A failure without a code would be none. */
	return failure_set(&a->failure, m.code ? (uint16_t)m.code : PMSM_E_CANCELLED, 0,
			   "ended by the orchestrator");
}

int take_common_frame(struct attempt *a, const struct frame *frame)
{
	switch (frame->type) {
	case PMSM_MSG_PING:
		return answer_ping(&a->control, frame);
	case PMSM_MSG_PONG:
		return 0;
	case PMSM_MSG_ABORT:
		return take_abort(a, frame);
	default:
		return -EPROTO;
	}
}

void control_send_stamps(struct attempt *a)
{
	struct pmsm_snapshot_phases phases;
	struct pmsm_msg_kernel_stamps m = {0};

	if (a->snapshot.ops->phases(&a->snapshot, &phases))
		return;
	m.cycles_khz = phases.cycles_khz;
	memcpy(m.cycles, phases.cycles, sizeof(m.cycles));
	link_send(&a->control, PMSM_MSG_KERNEL_STAMPS, &m, NULL, 0,
		  clock_deadline_ms(STAMPS_TIMEOUT_MS));
}
