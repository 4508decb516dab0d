/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_NETLINK_H
#define PMSM_NETLINK_H

#include <linux/netlink.h>

#include "common/base.h"

#define NETLINK_BUFFER_BYTES 32768

/* A netlink socket with memory of its own: nothing is allocated when it is used. */
struct netlink {
	int fd;
	uint32_t sequence;
	uint8_t *tx;
	size_t tx_used;
	bool tx_full; /* what was to be put did not fit; the send will refuse */
	struct nlmsghdr *message;
	uint8_t rx[NETLINK_BUFFER_BYTES];
	uint8_t tx_memory[NETLINK_BUFFER_BYTES];
};

int netlink_open(struct netlink *nl, int family);
void netlink_close(struct netlink *nl);
/*
 * Goes on with the socket of another process, which has died: what is still to come was for that
 * one.
 */
void netlink_adopt(struct netlink *nl);

/* Building: any number of messages, each of a fixed part and attributes, attributes may nest. */
void netlink_begin(struct netlink *nl);
uint32_t netlink_message(struct netlink *nl, uint16_t type, uint16_t flags, const void *fixed,
			 size_t fixed_bytes);
void netlink_put(struct netlink *nl, uint16_t type, const void *data, size_t bytes);
void netlink_put_u32(struct netlink *nl, uint16_t type, uint32_t value);
void netlink_put_be32(struct netlink *nl, uint16_t type, uint32_t value);
void netlink_put_text(struct netlink *nl, uint16_t type, const char *text);
size_t netlink_nest(struct netlink *nl, uint16_t type);
void netlink_nest_end(struct netlink *nl, size_t nest);

/* Sends what was built and waits for the acknowledgement of message `sequence`. 0 or -errno. */
int netlink_transact(struct netlink *nl, uint32_t sequence);

/* Sends what was built and calls `each` for every message of the answer. */
typedef void (*netlink_each)(const struct nlmsghdr *message, void *context);
int netlink_dump(struct netlink *nl, netlink_each each, void *context);

/* The attribute of that type in the attributes that follow `fixed_bytes` of the message, or NULL.
 */
const struct nlattr *netlink_find(const struct nlmsghdr *message, size_t fixed_bytes,
				  uint16_t type);
const struct nlattr *netlink_find_nested(const struct nlattr *nest, uint16_t type);
static inline const void *netlink_data(const struct nlattr *attribute)
{
	return attribute + 1;
}
static inline size_t netlink_bytes(const struct nlattr *attribute)
{
	return attribute->nla_len - sizeof(*attribute);
}

#endif
