/* SPDX-License-Identifier: GPL-2.0-only */
/* The orchestrator of a source that has given up: this process. The source is a child of it. */
#ifndef PMSM_TEST_HOLD_H
#define PMSM_TEST_HOLD_H

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "source/attempt.h"
#include "test.h"

#define GENERATION 3
#define SOON_MS	   3000

static struct link control;
static uint8_t buffer[CONTROL_BUFFER_BYTES];
static int listener = -1;

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

static inline void make_source(struct attempt *a, const struct sockaddr_in *orchestrator)
{
	a->snapshot.ops = &stock_kernel;
	a->options.id.generation = GENERATION;
	a->options.address.address = orchestrator->sin_addr.s_addr;
	a->options.orchestrator = (struct endpoint){.address = orchestrator->sin_addr.s_addr,
						    .port = ntohs(orchestrator->sin_port)};
	copy_text(a->options.interface, sizeof(a->options.interface), "lo");
}

/* The source connects, says who it is and that it has given up. */
static inline bool meet(uint64_t limit_ms)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};
	uint64_t deadline;
	struct frame frame;

	if (poll(&p, 1, (int)limit_ms) != 1)
		return false;
	deadline = clock_deadline_ms(SOON_MS);
	link_close(&control);
	link_open(&control, accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), buffer,
		  sizeof(buffer), PMSM_LIMIT_CONTROL_PAYLOAD_BYTES);
	return link_wait(&control, &frame, deadline) == 0 && frame.type == PMSM_MSG_HELLO &&
	       link_wait(&control, &frame, deadline) == 0 && frame.type == PMSM_MSG_GIVEN_UP;
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

	return link_wait(&control, &frame, clock_deadline_ms(SOON_MS)) == 0 && frame.type == type;
}

static inline bool answers_ping(void)
{
	struct pmsm_msg_ping ping = {.cookie = 5};

	link_send(&control, PMSM_MSG_PING, &ping, NULL, 0, clock_deadline_ms(SOON_MS));
	return answers_with(PMSM_MSG_PONG);
}

static inline bool listen_here(struct sockaddr_in *address)
{
	socklen_t bytes = sizeof(*address);

	*address =
	    (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return listener >= 0 && bind(listener, (struct sockaddr *)address, sizeof(*address)) == 0 &&
	       listen(listener, 4) == 0 &&
	       getsockname(listener, (struct sockaddr *)address, &bytes) == 0;
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
