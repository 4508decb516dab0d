// SPDX-License-Identifier: GPL-2.0-only
#include "common/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"

#define ANSWER_TIMEOUT_MS 2000

int netlink_open(struct netlink *nl, int family)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	int bytes = 1 << 20;

	nl->tx = nl->tx_memory;
	nl->sequence = 1;
	nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);
	if (nl->fd < 0)
		return -errno;
	setsockopt(nl->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (bind(nl->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = -errno;

		netlink_close(nl);
		return error;
	}
	return 0;
}

void netlink_close(struct netlink *nl)
{
	if (nl->fd >= 0)
		close(nl->fd);
	nl->fd = -1;
}

/* More than a process can have asked for meanwhile. */
#define ADOPTED_SEQUENCES (1u << 24)

void netlink_adopt(struct netlink *nl)
{
	nl->sequence += ADOPTED_SEQUENCES;
}

void netlink_begin(struct netlink *nl)
{
	nl->tx_used = 0;
	nl->tx_full = false;
	nl->message = NULL;
}

static void *reserve(struct netlink *nl, size_t bytes)
{
	size_t padded = NLMSG_ALIGN(bytes);
	uint8_t *at = nl->tx + nl->tx_used;

	if (nl->tx_used + padded > sizeof(nl->tx_memory)) {
		nl->tx_full = true;
		return NULL;
	}
	memset(at, 0, padded);
	nl->tx_used += padded;
	if (nl->message)
		nl->message->nlmsg_len = (uint32_t)(nl->tx + nl->tx_used - (uint8_t *)nl->message);
	return at;
}

uint32_t netlink_message(struct netlink *nl, uint16_t type, uint16_t flags, const void *fixed,
			 size_t fixed_bytes)
{
	struct nlmsghdr *header;

	nl->message = NULL;
	header = reserve(nl, sizeof(*header) + fixed_bytes);
	if (!header)
		return 0;
	*header =
	    (struct nlmsghdr){.nlmsg_len = (uint32_t)(sizeof(*header) + NLMSG_ALIGN(fixed_bytes)),
			      .nlmsg_type = type,
			      .nlmsg_flags = NLM_F_REQUEST | flags,
			      .nlmsg_seq = nl->sequence++};
	memcpy(header + 1, fixed, fixed_bytes);
	nl->message = header;
	return header->nlmsg_seq;
}

void netlink_put(struct netlink *nl, uint16_t type, const void *data, size_t bytes)
{
	struct nlattr *attribute = reserve(nl, sizeof(*attribute) + bytes);

	if (!attribute)
		return;
	attribute->nla_len = (uint16_t)(sizeof(*attribute) + bytes);
	attribute->nla_type = type;
	if (bytes)
		memcpy(attribute + 1, data, bytes);
}

void netlink_put_u32(struct netlink *nl, uint16_t type, uint32_t value)
{
	netlink_put(nl, type, &value, sizeof(value));
}

void netlink_put_be32(struct netlink *nl, uint16_t type, uint32_t value)
{
	netlink_put_u32(nl, type, htonl(value));
}

void netlink_put_text(struct netlink *nl, uint16_t type, const char *text)
{
	netlink_put(nl, type, text, strlen(text) + 1);
}

size_t netlink_nest(struct netlink *nl, uint16_t type)
{
	size_t at = nl->tx_used;

	netlink_put(nl, type | NLA_F_NESTED, NULL, 0);
	return at;
}

void netlink_nest_end(struct netlink *nl, size_t nest)
{
	size_t bytes = nl->tx_used - nest;

	if (nl->tx_full)
		return;
	if (bytes > UINT16_MAX)
		nl->tx_full = true;
	else
		((struct nlattr *)(nl->tx + nest))->nla_len = (uint16_t)bytes;
}

static int send_built(struct netlink *nl)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t n;

	if (nl->tx_full)
		return -ENOBUFS;
	do {
		n = sendto(nl->fd, nl->tx, nl->tx_used, 0, (struct sockaddr *)&kernel,
			   sizeof(kernel));
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static ssize_t receive(struct netlink *nl, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = nl->fd, .events = POLLIN};

	for (;;) {
		ssize_t n = recv(nl->fd, nl->rx, sizeof(nl->rx), MSG_DONTWAIT);
		int left;

		if (n >= 0)
			return n;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		left = clock_left_ms(deadline_ns);
		if (left == 0)
			return -ETIMEDOUT;
		poll(&p, 1, left);
	}
}

static int message_error(const struct nlmsghdr *message)
{
	const struct nlmsgerr *error = NLMSG_DATA(message);

	return message->nlmsg_len < NLMSG_LENGTH(sizeof(*error)) ? -EPROTO : error->error;
}

/* A dump that could not be made may say so with its last message only. */
static int done_error(const struct nlmsghdr *message)
{
	int error;

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(error)))
		return 0;
	memcpy(&error, NLMSG_DATA(message), sizeof(error));
	return error < 0 ? error : 0;
}

int netlink_transact(struct netlink *nl, uint32_t sequence)
{
	uint64_t deadline = clock_deadline_ms(ANSWER_TIMEOUT_MS);
	uint32_t first = ((struct nlmsghdr *)nl->tx)->nlmsg_seq;
	int error = send_built(nl);

	while (!error) {
		ssize_t n = receive(nl, deadline);
		size_t left = n > 0 ? (size_t)n : 0;

		if (n < 0)
			return (int)n;
		for (struct nlmsghdr *m = (struct nlmsghdr *)nl->rx; NLMSG_OK(m, left);
		     m = NLMSG_NEXT(m, left)) {
			/* An answer to something older, which was given up: not ours. */
			if (m->nlmsg_type != NLMSG_ERROR || m->nlmsg_seq < first)
				continue;
			error = message_error(m);
			if (error || m->nlmsg_seq == sequence)
				return error;
		}
	}
	return error;
}

int netlink_dump(struct netlink *nl, netlink_each each, void *context)
{
	uint64_t deadline = clock_deadline_ms(ANSWER_TIMEOUT_MS);
	uint32_t sequence = nl->message ? nl->message->nlmsg_seq : 0;
	int error = send_built(nl);

	while (!error) {
		ssize_t n = receive(nl, deadline);
		size_t left = n > 0 ? (size_t)n : 0;

		if (n < 0)
			return (int)n;
		for (struct nlmsghdr *m = (struct nlmsghdr *)nl->rx; NLMSG_OK(m, left);
		     m = NLMSG_NEXT(m, left)) {
			if (m->nlmsg_seq != sequence)
				continue;
			if (m->nlmsg_type == NLMSG_DONE)
				return done_error(m);
			if (m->nlmsg_type == NLMSG_ERROR)
				return message_error(m);
			each(m, context);
		}
	}
	return error;
}

static const struct nlattr *find(const uint8_t *at, size_t left, uint16_t type)
{
	while (left >= sizeof(struct nlattr)) {
		const struct nlattr *attribute = (const struct nlattr *)at;
		size_t step = NLA_ALIGN(attribute->nla_len);

		if (attribute->nla_len < sizeof(*attribute) || attribute->nla_len > left)
			return NULL;
		if ((attribute->nla_type & NLA_TYPE_MASK) == type)
			return attribute;
		if (step >= left)
			return NULL;
		at += step;
		left -= step;
	}
	return NULL;
}

const struct nlattr *netlink_find(const struct nlmsghdr *message, size_t fixed_bytes, uint16_t type)
{
	size_t head = NLMSG_HDRLEN + NLMSG_ALIGN(fixed_bytes);

	if (message->nlmsg_len < head)
		return NULL;
	return find((const uint8_t *)message + head, message->nlmsg_len - head, type);
}

const struct nlattr *netlink_find_nested(const struct nlattr *nest, uint16_t type)
{
	return find(netlink_data(nest), netlink_bytes(nest), type);
}
