/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_LINK_H
#define PMSM_LINK_H

#include <pthread.h>

#include "common/base.h"

/*
 * A framed connection: 32 bytes of header with sequence number and XXH64, then the payload.
 *
 * Every byte that arrives is hostile until checked, and no call waits without a deadline. Sending
 * is safe from several threads, receiving belongs to one thread.
 *
 * Answers: 0 (or a count), -ETIMEDOUT, -ECONNRESET (the peer is gone), -EPROTO, -EBADMSG (digest),
 * -EPROTONOSUPPORT (version), or another errno of the socket.
 */
struct link {
	int fd;
	uint32_t tx_sequence;
	uint32_t rx_sequence;
	_Atomic uint64_t tx_bytes; /* on the wire, headers included */
	uint64_t rx_bytes;
	size_t payload_limit;
	pthread_mutex_t tx_lock;
	/* gathers one frame for link_next(); not used by link_receive_header() */
	uint8_t *buffer;
	size_t buffer_capacity;
	size_t buffered;
};

struct frame {
	uint16_t type;
	uint32_t payload_bytes;
	uint64_t digest;
	const uint8_t *payload;
	const uint8_t *tail;
	uint32_t tail_bytes;
};

/* Takes a connected socket over. The buffer must hold a header and payload_limit bytes. */
void link_open(struct link *link, int fd, uint8_t *buffer, size_t buffer_capacity,
	       size_t payload_limit);
void link_close(struct link *link);
static inline bool link_is_open(const struct link *link)
{
	return link->fd >= 0;
}

int link_send(struct link *link, uint16_t type, const void *fixed, const void *tail,
	      size_t tail_bytes, uint64_t deadline_ns);

/*
 * Sends a frame whose payload lies ready in one piece, with its digest. While it waits for room it
 * counts what the socket takes into *moved, for a watcher of stalls; may be NULL.
 */
int link_send_payload(struct link *link, uint16_t type, const uint8_t *payload, size_t bytes,
		      uint64_t digest, uint64_t deadline_ns, _Atomic uint64_t *moved);

/*
 * Takes what has arrived, without waiting: 1 with a whole and checked frame, 0 if there is none
 * yet. The frame's payload is valid until the next call.
 */
int link_next(struct link *link, struct frame *frame);

/* Like link_next(), but waits until the deadline. 0 with a frame. */
int link_wait(struct link *link, struct frame *frame, uint64_t deadline_ns);

/* The two halves of a frame, for payloads that go straight to their place. */
int link_receive_header(struct link *link, struct frame *frame, uint64_t deadline_ns);
int link_receive_payload(struct link *link, const struct frame *frame, uint8_t *to,
			 uint64_t deadline_ns);

/* What is allowed, without any connection: used by all of the above and by the vector test. */
int frame_check_header(const struct pmsm_wire_header *header, uint32_t sequence,
		       size_t payload_limit);
int frame_check_payload(uint16_t type, const uint8_t *payload, size_t bytes, uint64_t digest);

/* The catalogue's code for an answer of this file; `otherwise` for plain socket errors. */
uint16_t link_error_code(int error, uint16_t otherwise);

uint64_t digest_bytes(const void *data, size_t bytes);
uint64_t digest_chain(uint64_t chain, uint64_t payload_digest);

#endif
