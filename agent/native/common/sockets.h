/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_SOCKETS_H
#define PMSM_SOCKETS_H

#include "common/netlink.h"

struct endpoint {
	uint32_t address; /* network byte order in memory */
	uint16_t port;	  /* host byte order */
};

bool endpoint_parse(struct endpoint *endpoint, const char *text);

/*
 * A TCP connection of the migration flow: marked for the quarantine, bound to the migration
 * interface and address, no Nagle, large buffers if `bulk`. The file descriptor or -errno.
 */
int migration_connect(const char *interface, uint32_t from, const struct endpoint *to, bool bulk,
		      uint64_t deadline_ns);

/* A listening socket of the migration flow. */
int migration_listen(const char *interface, uint32_t address, uint16_t port);

/* Closes a connection so that no byte of it reaches the wire. */
void silent_close(int fd);

int diag_open(struct netlink *diag);

/*
 * Calls `each` with a struct inet_diag_msg for every TCP socket, of IPv4 and IPv6, in one of the
 * states (bits of TCP_*). 0, or -errno.
 *
 * THEORY: the kernel walks through its whole table of connections for each request, which has a
 * place for every 128 KiB of memory, however few are taken. The request of today asks for one
 * family; the one that it replaced (Linux 3.3) asks for both, in one walk. It is still answered,
 * and if it were not, there are two walks.
 */
int diag_dump(struct netlink *diag, uint32_t states, netlink_each each, void *context);
int diag_dump_by_family(struct netlink *diag, uint32_t states, netlink_each each, void *context);

/*
 * Destroys every TCP connection that is bound to the address. They answer with resets, so call it
 * under total drop. The number of them, or -errno.
 */
int destroy_connections(struct netlink *diag, uint32_t address);

#endif
