// SPDX-License-Identifier: GPL-2.0-only
#include "common/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"

#define BULK_BUFFER_BYTES (4 << 20)
#define DESTROY_MAX	  1024
#define TCP_STATES_ALL	  0xfffu

bool endpoint_parse(struct endpoint *endpoint, const char *text)
{
	char address[INET_ADDRSTRLEN];
	const char *colon = strchr(text, ':');
	unsigned long port;
	char *end;

	if (!colon || (size_t)(colon - text) >= sizeof(address) || colon[1] < '0' || colon[1] > '9')
		return false;
	memcpy(address, text, (size_t)(colon - text));
	address[colon - text] = '\0';
	port = strtoul(colon + 1, &end, 10);
	if (*end != '\0' || port == 0 || port > 65535)
		return false;
	endpoint->port = (uint16_t)port;
	return inet_pton(AF_INET, address, &endpoint->address) == 1;
}

static int migration_socket(const char *interface, uint32_t address, uint16_t port, bool bulk)
{
	struct sockaddr_in local = {
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = address};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, bytes = BULK_BUFFER_BYTES, mark = (int)MIGRATION_MARK;
	int error;

	if (fd < 0)
		return -errno;
	if (bulk) {
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)) <
		0 ||
	    bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

static int wait_connected(int fd, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	socklen_t bytes = sizeof(int);
	int error = 0;

	for (;;) {
		int left = clock_left_ms(deadline_ns);
		int n = poll(&p, 1, left);

		if (n > 0)
			break;
		if (n == 0 && left == 0)
			return -ETIMEDOUT;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0)
		return -errno;
	return -error;
}

int migration_connect(const char *interface, uint32_t from, const struct endpoint *to, bool bulk,
		      uint64_t deadline_ns)
{
	struct sockaddr_in peer = {
	    .sin_family = AF_INET, .sin_port = htons(to->port), .sin_addr.s_addr = to->address};
	int fd = migration_socket(interface, from, 0, bulk);
	int error = 0;

	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&peer, sizeof(peer)) < 0)
		error = errno == EINPROGRESS ? wait_connected(fd, deadline_ns) : -errno;
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

int migration_listen(const char *interface, uint32_t address, uint16_t port)
{
	int fd = migration_socket(interface, address, port, true);
	int error;

	if (fd >= 0 && listen(fd, 4) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

void silent_close(int fd)
{
	int on = 1;

	if (fd < 0)
		return;
	/* In repair mode close() drops the connection's state and sends neither FIN nor RST. */
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on));
	close(fd);
}

int diag_open(struct netlink *diag)
{
	return netlink_open(diag, NETLINK_SOCK_DIAG);
}

int diag_dump_by_family(struct netlink *diag, uint32_t states, netlink_each each, void *context)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	int error = 0;

	for (size_t i = 0; !error && i < ARRAY_SIZE(families); i++) {
		struct inet_diag_req_v2 request = {.sdiag_family = families[i],
						   .sdiag_protocol = IPPROTO_TCP,
						   .idiag_states = states};

		netlink_begin(diag);
		netlink_message(diag, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof(request));
		error = netlink_dump(diag, each, context);
	}
	return error;
}

int diag_dump(struct netlink *diag, uint32_t states, netlink_each each, void *context)
{
	struct inet_diag_req request = {.idiag_family = AF_UNSPEC, .idiag_states = states};
	int error;

	netlink_begin(diag);
	netlink_message(diag, TCPDIAG_GETSOCK, NLM_F_DUMP, &request, sizeof(request));
	error = netlink_dump(diag, each, context);
	if (error == -EOPNOTSUPP || error == -EINVAL || error == -ENOENT)
		error = diag_dump_by_family(diag, states, each, context);
	return error;
}

struct found {
	uint32_t address;
	size_t count;
	struct inet_diag_sockid ids[DESTROY_MAX];
	uint8_t family[DESTROY_MAX];
};

static bool bound_to(const struct inet_diag_msg *m, uint32_t address)
{
	const uint32_t mapped = htonl(0xffff);

	if (m->idiag_family == AF_INET)
		return m->id.idiag_src[0] == address;
	return m->id.idiag_src[0] == 0 && m->id.idiag_src[1] == 0 && m->id.idiag_src[2] == mapped &&
	       m->id.idiag_src[3] == address;
}

static void note_socket(const struct nlmsghdr *message, void *context)
{
	const struct inet_diag_msg *m = NLMSG_DATA(message);
	struct found *found = context;

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*m)) || found->count == DESTROY_MAX)
		return;
	if (!bound_to(m, found->address))
		return;
	found->family[found->count] = m->idiag_family;
	found->ids[found->count++] = m->id;
}

int destroy_connections(struct netlink *diag, uint32_t address)
{
	static struct found found; /* too large for the stack; one caller, one thread */
	int destroyed = 0, error;

	found.address = address;
	found.count = 0;
	/* A server that listens on [::] has its IPv4 connections among those of IPv6. */
	error = diag_dump(diag, TCP_STATES_ALL & ~(1u << TCP_LISTEN), note_socket, &found);
	for (size_t i = 0; i < found.count; i++) {
		struct inet_diag_req_v2 request = {.sdiag_family = found.family[i],
						   .sdiag_protocol = IPPROTO_TCP,
						   .idiag_states = TCP_STATES_ALL,
						   .id = found.ids[i]};
		uint32_t sequence;

		netlink_begin(diag);
		sequence =
		    netlink_message(diag, SOCK_DESTROY, NLM_F_ACK, &request, sizeof(request));
		if (netlink_transact(diag, sequence) == 0)
			destroyed++;
	}
	return error ? error : destroyed;
}
