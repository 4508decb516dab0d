// SPDX-License-Identifier: GPL-2.0-only
/* Connections go on at once when a quarantine ends, and a long one ends none. */
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>

#include "common/sockets.h"
#include "source/nudge.h"
#include "two_networks.h"

/* Waits until the connection's sender has failed so often that the next pause is 1.6 s or more. */
static void wait_for_back_off(int fd)
{
	uint64_t deadline = clock_deadline_ms(10000);
	struct tcp_info info = {0};
	socklen_t bytes = sizeof(info);

	while (info.tcpi_backoff < 3 && clock_left_ms(deadline) > 0) {
		clock_sleep_ms(10);
		getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes);
	}
}

/*
 * A client's request is lost in the quarantine, which is lifted 0.3 s after its last attempt, and
 * 1.3 s before the next one.
 */
static void test_nudge(void)
{
	int service = listener(ours_ns, "10.9.0.1", SERVICE_PORT);
	static struct netlink diag;
	static struct nudge nudge;
	int client, server, known, reuse = 0;
	socklen_t bytes = sizeof(reuse);
	pid_t holder;
	uint8_t mac[MAC_BYTES];
	uint64_t lifted_ns;
	char byte = 'r';

	own_mac(mac);
	client = connect_from(peer_ns, "10.9.0.1", SERVICE_PORT, SOON_MS);
	server = accept(service, NULL, NULL);
	CHECK(arrives(client, server, SOON_MS) && arrives(server, client, SOON_MS), "a connection");
	/* The helper leaves itself out, so another process must hold the connection. */
	holder = start_idle();
	quarantine_install(&q, mac);
	(void)!send(client, &byte, 1, 0);
	wait_for_back_off(client);
	clock_sleep_ms(300);
	diag_open(&diag);
	CHECK(nudge_open(&nudge) == 0, "raw sockets");
	known = nudge_learn(&nudge, &diag, clock_deadline_ms(1000));
	CHECK(known == 1 && nudge.owners[0].pid == holder && nudge.owners[0].fd == server,
	      "%d connection whose process is known", known);
	known = nudge_collect(&nudge, &diag, clock_deadline_ms(1000));
	CHECK(known == 1, "%d connection whose next byte is known", known);
	nudge.owners[0].fd = service;
	known = nudge_collect(&nudge, &diag, clock_deadline_ms(1000));
	CHECK(known == 1, "and if its descriptor is another one by now: %d", known);
	nudge.owners[0].pid = INT_MAX;
	known = nudge_collect(&nudge, &diag, clock_deadline_ms(1000));
	CHECK(known == 1, "or its process is gone: %d", known);
	nudge.own_fds[0] = server;
	known = nudge_collect(&nudge, &diag, clock_deadline_ms(1000));
	CHECK(known == 0, "not if it is our own: %d", known);
	nudge.own_fds[0] = -1;
	known = nudge_collect(&nudge, &diag, clock_deadline_ms(1000));
	CHECK(known == 1, "nor would that last: %d", known);
	getsockopt(server, SOL_SOCKET, SO_REUSEADDR, &reuse, &bytes);
	CHECK(reuse == 1, "reading it leaves the socket's options as they were");
	quarantine_remove(&q, NULL);
	lifted_ns = clock_ns();
	CHECK(nudge_send(&nudge) > 0, "peers are asked");
	{
		struct pollfd p = {.fd = server, .events = POLLIN};
		uint64_t ms;

		poll(&p, 1, SOON_MS);
		ms = (clock_ns() - lifted_ns) / NS_PER_MS;
		CHECK(recv(server, &byte, 1, MSG_DONTWAIT) == 1 && ms < 900,
		      "the lost request comes %llu ms after the lift, not with the next step",
		      (unsigned long long)ms);
	}
	CHECK(arrives(server, client, SOON_MS) && arrives(client, server, SOON_MS),
	      "and the connection goes on");
	end_idle(holder);
	nudge_close(&nudge);
	netlink_close(&diag);
	close(client);
	close(server);
	close(service);
}

#define ATTEMPTS_TEXT "5" /* of TCP before it ends a connection; 15 by default */
#define LONG_WINDOW_MS                                                                             \
	4700 /* more than 5 attempts at two a second, less than 5 with doubled pauses */
#define NEXT_ATTEMPT_MS 1000 /* at least: pauses of 0.2 to 3.2 s lead to 6.2 s */

/*
 * An answer was written when the quarantine was there already. A long window may not end its
 * connection (quarantine.h says how it could), and when it is over the answer leaves at once.
 */
static void test_patience(void)
{
	int service = listener(ours_ns, "10.9.0.1", SERVICE_PORT);
	int local = listener(ours_ns, "127.0.0.1", SERVICE_PORT + 1);
	int client, server, inner, inner_peer, error = 0;
	static struct netlink diag;
	static struct nudge nudge;
	socklen_t bytes = sizeof(error);
	struct pollfd p = {.events = POLLIN};
	uint8_t mac[MAC_BYTES];
	char byte = 'a';
	pid_t holder;

	own_mac(mac);
	write_text("/proc/sys/net/ipv4/tcp_retries2", ATTEMPTS_TEXT);
	client = connect_from(peer_ns, "10.9.0.1", SERVICE_PORT, SOON_MS);
	server = accept(service, NULL, NULL);
	inner = connect_from(ours_ns, "127.0.0.1", SERVICE_PORT + 1, SOON_MS);
	inner_peer = accept(local, NULL, NULL);
	CHECK(arrives(client, server, SOON_MS), "a connection");
	holder = start_idle();
	quarantine_install(&q, mac);
	CHECK(send(server, &byte, 1, 0) == 1, "an answer is written in the window");
	CHECK(arrives(inner, inner_peer, QUIET_MS), "within the machine connections go on");
	clock_sleep_ms(LONG_WINDOW_MS);
	getsockopt(server, SOL_SOCKET, SO_ERROR, &error, &bytes);
	CHECK(error == 0, "a long window ends no connection: %s", strerror(error));
	diag_open(&diag);
	nudge_open(&nudge);
	nudge_collect(&nudge, &diag, clock_deadline_ms(1000));
	quarantine_remove(&q, NULL);
	nudge_send(&nudge);
	p.fd = client;
	CHECK(poll(&p, 1, NEXT_ATTEMPT_MS) == 1 && recv(client, &byte, 1, 0) == 1 && byte == 'a',
	      "the answer leaves with the end of the window");
	end_idle(holder);
	write_text("/proc/sys/net/ipv4/tcp_retries2", "15");
	nudge_close(&nudge);
	netlink_close(&diag);
	close(inner);
	close(inner_peer);
	close(client);
	close(server);
	close(local);
	close(service);
}

static void tests(void)
{
	test_nudge();
	test_patience();
}

int main(void)
{
	return run_between_networks(tests);
}
