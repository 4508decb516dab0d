/* SPDX-License-Identifier: GPL-2.0-only */
/* The orchestrator of a source that has given up: this process. The source is a child of it. */
#ifndef PMSM_TEST_HOLD_H
#define PMSM_TEST_HOLD_H

#include "listener.h"
#include "source/attempt.h"

#define GENERATION 3

static int no_lease(struct snapshot_device *device, unsigned int ms)
{
	(void)device;
	(void)ms;
	return -ENOTTY;
}

static int no_hold(struct snapshot_device *device, bool hold)
{
	(void)device;
	(void)hold;
	return -ENOTTY;
}

/* A kernel without our patches. */
static const struct snapshot_operations stock_kernel = {.lease = no_lease, .hold = no_hold};

static inline void make_source(struct attempt *a, const struct endpoint *orchestrator)
{
	a->snapshot.ops = &stock_kernel;
	a->options.id.generation = GENERATION;
	a->options.address.address = orchestrator->address;
	a->options.orchestrator = *orchestrator;
	copy_text(a->options.interface, sizeof(a->options.interface), "lo");
}

/* The source connects, says who it is and that it has given up. */
static inline bool meet(uint64_t limit_ms)
{
	struct frame frame;

	return accept_peer(limit_ms) && next_is(PMSM_MSG_HELLO, &frame) &&
	       next_is(PMSM_MSG_GIVEN_UP, &frame);
}

/* Of orders that hold nothing but the attempt. */
static inline void order(uint16_t type, uint64_t generation)
{
	struct pmsm_msg_thaw m = {.generation = generation};

	_Static_assert(sizeof(m) == sizeof(struct pmsm_msg_commit), "same fields");
	link_send(&control, type, &m, NULL, 0, clock_deadline_ms(SOON_MS));
}

static inline bool answers_with(uint16_t type)
{
	struct frame frame;

	return next_is(type, &frame);
}

static inline bool answers_ping(void)
{
	struct pmsm_msg_ping ping = {.cookie = 5};

	link_send(&control, PMSM_MSG_PING, &ping, NULL, 0, clock_deadline_ms(SOON_MS));
	return answers_with(PMSM_MSG_PONG);
}

/* How it has ended, as of wait(); killed if it has not soon. */
static inline int end_of(pid_t child)
{
	uint64_t deadline = clock_deadline_ms(SOON_MS);
	int status = 0;

	while (waitpid(child, &status, WNOHANG) == 0) {
		if (clock_left_ms(deadline) == 0)
			kill(child, SIGKILL);
		clock_sleep_ms(10);
	}
	return status;
}

#endif
