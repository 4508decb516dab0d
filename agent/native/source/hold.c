// SPDX-License-Identifier: GPL-2.0-only
/*
 * After commit the source has given itself up. Whatever breaks now, it stays as it is: only an
 * order of the orchestrator moves it, and it looks for the orchestrator for ever.
 */
#include <errno.h>
#include <poll.h>
#include <sys/reboot.h>

#include "common/clock.h"
#include "common/log.h"
#include "source/attempt.h"
#include "source/faults.h"

#define RECONNECT_MS	 500
#define HOLD_POLL_MS	 1000
#define REPORT_LINGER_MS 100

static int reconnect(struct attempt *a)
{
	int error;

	link_close(&a->control);
	/* Also when it connects at once: it may be sent away again each time. */
	clock_sleep_ms(RECONNECT_MS);
	error = control_connect(a, PMSM_ROLE_SOURCE, a->options.address.address,
				clock_deadline_ms(RECONNECT_MS));
	return error ? error : control_send_id(a, PMSM_MSG_GIVEN_UP);
}

__attribute__((noreturn)) static void release(struct attempt *a, unsigned int action)
{
	/* A helper before may have come as far. */
	if (state_get(attempt_state(a)) == STATE_GIVEN_UP)
		state_move(attempt_state(a), STATE_GIVEN_UP, STATE_RELEASED);
	fault_strike(a, PMSM_PHASE_RELEASE);
	control_send_id(a, PMSM_MSG_RELEASED);
	clock_sleep_ms(REPORT_LINGER_MS); /* lets the last message leave */
	for (;;) {
		reboot(action == PMSM_RELEASE_ACTION_REBOOT ? RB_AUTOBOOT : RB_POWER_OFF);
		clock_sleep_ms(RECONNECT_MS);
	}
}

/* 1: the order to thaw came. Does not come back from a release. */
static int take_order(struct attempt *a, const struct frame *frame)
{
	struct pmsm_msg_release m;

	switch (frame->type) {
	case PMSM_MSG_PING:
		return answer_ping(&a->control, frame);
	case PMSM_MSG_HELLO:
	case PMSM_MSG_PONG:
		return 0;
	case PMSM_MSG_COMMIT:
		if (frame_is_ours(a, frame))
			return control_send_id(a, PMSM_MSG_GIVEN_UP);
		return -EPROTO;
	case PMSM_MSG_THAW:
		return frame_is_ours(a, frame) ? 1 : -EPROTO;
	case PMSM_MSG_RELEASE:
		if (!frame_is_ours(a, frame))
			return -EPROTO;
		memcpy(&m, frame->payload, sizeof(m));
		release(a, m.action);
	default:
		/* An abort that crossed the commit, say. Nothing but the two orders counts. */
		return 0;
	}
}

/*
 * Nobody may thaw this machine by himself from here on. The state first: a helper that dies after
 * that has a successor, who does the rest; and nothing is promised until all of it is done. Nonzero
 * if the kernel was faster, with a->failure.
 */
static int give_up(struct attempt *a)
{
	int error;

	if (state_get(attempt_state(a)) == STATE_SENT)
		state_move(attempt_state(a), STATE_SENT, STATE_GIVEN_UP);
	guard_set(&a->guard, GUARD_HOLD);
	error = a->snapshot.ops->hold(&a->snapshot, true);
	/* Only a kernel that knows no leases may know no hold. */
	if (error && (error != -ENOTTY || a->guard.shared->leased))
		return failure_set(&a->failure, PMSM_E_LEASE_ENDED, error,
				   "the kernel does not hold this machine: %s", strerror(-error));
	fault_strike(a, PMSM_PHASE_COMMIT);
	return 0;
}

/*
 * Returns when the order to thaw came, or when it was too late to give up; then a->failure says
 * why. Called by a deputy, too, that has no connection yet.
 */
int hold_given_up(struct attempt *a)
{
	uint64_t heard_ns = clock_ns();
	int result;

	if (give_up(a))
		return -1;
	result = link_is_open(&a->control) ? control_send_id(a, PMSM_MSG_GIVEN_UP) : -ENOTCONN;
	if (result == 0)
		fault_strike(a, PMSM_PHASE_JUMP);
	for (;;) {
		struct pollfd p = {.events = POLLIN};
		struct frame frame;

		while (result < 0) {
			petting_pet(&a->petting);
			result = reconnect(a);
			heard_ns = clock_ns();
		}
		petting_pet(&a->petting);
		p.fd = a->control.fd;
		poll(&p, 1, HOLD_POLL_MS);
		while ((result = link_next(&a->control, &frame)) == 1) {
			heard_ns = clock_ns();
			result = take_order(a, &frame);
			if (result == 1) {
				a->failure.phase = PMSM_PHASE_JUMP;
				return failure_set(&a->failure, PMSM_E_NOT_JUMPED, 0,
						   "the orchestrator ordered the thaw");
			}
			if (result < 0)
				break;
		}
		if (result == 0 && control_is_silent(heard_ns))
			result = -ETIMEDOUT;
	}
}
