/* SPDX-License-Identifier: GPL-2.0-only */
/* Where a helper connects: this process listens on a loopback device of its own. */
#ifndef PMSM_TEST_LISTENER_H
#define PMSM_TEST_LISTENER_H

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/link.h"
#include "common/sockets.h"
#include "namespaces.h"
#include "test.h"

#define SOON_MS 3000

static struct link control;
static uint8_t buffer[PMSM_HEADER_BYTES + PMSM_LIMIT_CONTROL_PAYLOAD_BYTES];
static int listener = -1;

/* In namespaces of its own; false, after a skip, if those are not allowed. */
static inline bool listen_here(struct endpoint *here)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const char *obstacle = enter_own_namespaces();
	socklen_t bytes = sizeof(address);

	if (obstacle) {
		SKIP(obstacle);
		return false;
	}
	control.fd = -1;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (system("ip link set lo up") || listener < 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 4) ||
	    getsockname(listener, (struct sockaddr *)&address, &bytes))
		abort();
	*here =
	    (struct endpoint){.address = address.sin_addr.s_addr, .port = ntohs(address.sin_port)};
	return true;
}

/* The next connection takes the place of the one before. */
static inline bool accept_peer(uint64_t limit_ms)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};

	if (poll(&p, 1, (int)limit_ms) != 1)
		return false;
	link_close(&control);
	link_open(&control, accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), buffer,
		  sizeof(buffer), PMSM_LIMIT_CONTROL_PAYLOAD_BYTES);
	return true;
}

static inline bool next_is(uint16_t type, struct frame *frame)
{
	return link_wait(&control, frame, clock_deadline_ms(SOON_MS)) == 0 && frame->type == type;
}

#endif
