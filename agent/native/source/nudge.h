/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_NUDGE_H
#define PMSM_NUDGE_H

#include "common/netlink.h"

/*
 * Asks the peers of our TCP connections to send at once what they have outstanding.
 *
 * A client whose segment was dropped in the window tries again after 0.2, 0.6, 1.4, 3.0 and 6.2 s:
 * an outage is rounded up to that ladder, so that 3.1 s of it become 6.2 s for the client. RFC 6069
 * has the way out: an ICMP "host unreachable" that names the outstanding segment tells a sender
 * that its retransmission failed for want of connectivity and not of bandwidth, and it takes one
 * step of its back-off back; if the shortened time is over it sends at once. Linux does so
 * since 2.6.32, others ignore the message: by RFC 1122 it must not end a connection.
 *
 * The segment is named by its sequence number, the one that we await next. It can be read without
 * touching the connection's state, with the means that checkpoints use: a duplicate of the
 * process's descriptor and TCP_REPAIR_QUEUE. That is done while the processes are frozen.
 *
 * What our own side could not send waits in the same way, and needs no message: taking away a cork
 * that is not there (TCP_CORK, tcp(7)) pushes everything that is still to be sent.
 */
#define NUDGE_MAX 1024
/* Collecting happens while the machine stands still, so it may not take longer than this. */
#define NUDGE_BUDGET_MS 50

struct nudged {
	uint8_t family;
	uint8_t local[16];
	uint8_t peer[16];
	uint16_t local_port; /* network byte order, as all of this */
	uint16_t peer_port;
	uint32_t inode;
	uint32_t awaited;    /* sequence number, host byte order */
	int fd;		     /* duplicate of the process's descriptor while it is known, else -1 */
	bool settled;	     /* need not be looked for */
	int owner, owner_fd; /* process and its descriptor, for nudge_learn(); 0: not found */
};

/* Where a connection was found while the processes ran. */
struct nudge_owner {
	uint32_t inode;
	int pid, fd;
};

struct nudge {
	size_t count;
	struct nudged list[NUDGE_MAX];
	size_t owners_count;
	struct nudge_owner owners[NUDGE_MAX];
	int raw4, raw6;
	int own_fds[2]; /* connections of this process, which nobody need look for; -1: none */
};

int nudge_open(struct nudge *nudge);
void nudge_close(struct nudge *nudge);

/*
 * Finds whose each connection is, until the deadline. Does not touch any, so that it is for a
 * machine that works. The number that is known, or -errno. With that nudge_collect() need not go
 * through all descriptors of all processes, but only through those of connections made since.
 */
int nudge_learn(struct nudge *nudge, struct netlink *diag, uint64_t deadline_ns);

/*
 * Finds the connections and what each awaits; stops at the deadline. The number that is known, or
 * -errno. Holds a duplicate of every connection's descriptor until nudge_send() or nudge_close().
 */
int nudge_collect(struct nudge *nudge, struct netlink *diag, uint64_t deadline_ns);

/*
 * To be called while the processes are still frozen: a duplicate would keep a connection open that
 * its process closes. Sends what waits here and asks every peer; the number of messages.
 */
int nudge_send(struct nudge *nudge);

/* The message for one connection; for the tests too. */
#define NUDGE_MESSAGE_BYTES 64
size_t nudge_message(uint8_t *message, const struct nudged *connection);

#endif
