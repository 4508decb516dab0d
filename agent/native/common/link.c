// SPDX-License-Identifier: GPL-2.0-only
#define XXH_STATIC_LINKING_ONLY
#include "common/link.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/clock.h"

uint64_t digest_bytes(const void *data, size_t bytes)
{
	return XXH64(data, bytes, 0);
}

uint64_t digest_chain(uint64_t chain, uint64_t payload_digest)
{
	uint64_t both[2] = {chain, payload_digest};

	return XXH64(both, sizeof(both), 0);
}

uint16_t link_error_code(int error, uint16_t otherwise)
{
	switch (error < 0 ? -error : error) {
	case EPROTO:
		return PMSM_E_PROTOCOL_ERROR;
	case EPROTONOSUPPORT:
		return PMSM_E_VERSION_MISMATCH;
	case EBADMSG:
		return PMSM_E_DIGEST_MISMATCH;
	default:
		return otherwise;
	}
}

void link_open(struct link *link, int fd, uint8_t *buffer, size_t buffer_capacity,
	       size_t payload_limit)
{
	*link = (struct link){.fd = fd,
			      .payload_limit = payload_limit,
			      .buffer = buffer,
			      .buffer_capacity = buffer_capacity};
	pthread_mutex_init(&link->tx_lock, NULL);
}

void link_close(struct link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
}

static uint64_t header_digest(const struct pmsm_wire_header *header)
{
	return digest_bytes(header, offsetof(struct pmsm_wire_header, header_digest));
}

int frame_check_header(const struct pmsm_wire_header *header, uint32_t sequence,
		       size_t payload_limit)
{
	if (header->magic != PMSM_WIRE_MAGIC)
		return -EPROTO;
	if (header->version != PMSM_WIRE_VERSION)
		return -EPROTONOSUPPORT;
	if (header->header_digest != header_digest(header))
		return -EBADMSG;
	if (header->sequence != sequence)
		return -EPROTO;
	if (header->payload_bytes > payload_limit ||
	    !pmsm_payload_bytes_ok(header->type, header->payload_bytes))
		return -EPROTO;
	return 0;
}

int frame_check_payload(uint16_t type, const uint8_t *payload, size_t bytes, uint64_t digest)
{
	if (digest_bytes(payload, bytes) != digest)
		return -EBADMSG;
	return pmsm_fields_ok(type, payload) ? 0 : -EPROTO;
}

static int wait_for(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int left = clock_left_ms(deadline_ns);
		int n = poll(&p, 1, left);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && left == 0)
			return -ETIMEDOUT;
	}
}

static void skip_sent(struct iovec **iov, size_t *count, size_t sent)
{
	while (sent > 0) {
		if (sent < (*iov)->iov_len) {
			(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + sent;
			(*iov)->iov_len -= sent;
			return;
		}
		sent -= (*iov)->iov_len;
		(*iov)++;
		(*count)--;
	}
	while (*count > 0 && (*iov)->iov_len == 0) {
		(*iov)++;
		(*count)--;
	}
}

static int send_all(struct link *link, struct iovec *iov, size_t count, uint64_t deadline_ns,
		    _Atomic uint64_t *moved)
{
	skip_sent(&iov, &count, 0);
	while (count > 0) {
		struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
		ssize_t n = sendmsg(link->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		int error;

		if (n > 0) {
			link->tx_bytes += (uint64_t)n;
			if (moved)
				*moved += (uint64_t)n;
			skip_sent(&iov, &count, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
			return errno == EPIPE ? -ECONNRESET : -errno;
		error = wait_for(link->fd, POLLOUT, deadline_ns);
		if (error)
			return error;
	}
	return 0;
}

static int send_frame(struct link *link, uint16_t type, struct iovec *parts, uint32_t bytes,
		      uint64_t digest, uint64_t deadline_ns, _Atomic uint64_t *moved)
{
	struct pmsm_wire_header header = {.magic = PMSM_WIRE_MAGIC,
					  .version = PMSM_WIRE_VERSION,
					  .type = type,
					  .payload_bytes = bytes,
					  .payload_digest = digest};
	int error;

	if (link->fd < 0)
		return -ECONNRESET;
	parts[0] = (struct iovec){&header, sizeof(header)};
	pthread_mutex_lock(&link->tx_lock);
	header.sequence = link->tx_sequence++;
	header.header_digest = header_digest(&header);
	error = send_all(link, parts, 3, deadline_ns, moved);
	pthread_mutex_unlock(&link->tx_lock);
	return error;
}

int link_send(struct link *link, uint16_t type, const void *fixed, const void *tail,
	      size_t tail_bytes, uint64_t deadline_ns)
{
	size_t fixed_bytes = pmsm_fixed_bytes(type);
	struct iovec parts[3] = {{NULL, 0},
				 {(void *)(uintptr_t)fixed, fixed_bytes},
				 {(void *)(uintptr_t)tail, tail_bytes}};
	XXH64_state_t state;

	if (!pmsm_payload_bytes_ok(type, fixed_bytes + tail_bytes))
		return -EPROTO;
	XXH64_reset(&state, 0);
	if (fixed_bytes)
		XXH64_update(&state, fixed, fixed_bytes);
	if (tail_bytes)
		XXH64_update(&state, tail, tail_bytes);
	return send_frame(link, type, parts, (uint32_t)(fixed_bytes + tail_bytes),
			  XXH64_digest(&state), deadline_ns, NULL);
}

int link_send_payload(struct link *link, uint16_t type, const uint8_t *payload, size_t bytes,
		      uint64_t digest, uint64_t deadline_ns, _Atomic uint64_t *moved)
{
	struct iovec parts[3] = {{NULL, 0}, {(void *)(uintptr_t)payload, bytes}, {NULL, 0}};

	if (!pmsm_payload_bytes_ok(type, bytes))
		return -EPROTO;
	return send_frame(link, type, parts, (uint32_t)bytes, digest, deadline_ns, moved);
}

/* Reads until `want` bytes are there: 1 then, 0 if the socket has no more for now. */
static int gather(struct link *link, uint8_t *to, size_t *have, size_t want)
{
	while (*have < want) {
		ssize_t n = recv(link->fd, to + *have, want - *have, MSG_DONTWAIT);

		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n < 0)
			return -errno;
		link->rx_bytes += (uint64_t)n;
		*have += (size_t)n;
	}
	return 1;
}

static void frame_fill(struct frame *frame, const struct pmsm_wire_header *header,
		       const uint8_t *payload)
{
	uint32_t fixed = (uint32_t)pmsm_fixed_bytes(header->type);

	*frame = (struct frame){.type = header->type,
				.payload_bytes = header->payload_bytes,
				.digest = header->payload_digest,
				.payload = payload,
				.tail = payload ? payload + fixed : NULL,
				.tail_bytes = header->payload_bytes - fixed};
}

int link_next(struct link *link, struct frame *frame)
{
	struct pmsm_wire_header header;
	int result;

	if (link->fd < 0)
		return -ECONNRESET;
	if (link->buffered < sizeof(header)) {
		result = gather(link, link->buffer, &link->buffered, sizeof(header));
		if (result <= 0)
			return result;
	}
	memcpy(&header, link->buffer, sizeof(header));
	result = frame_check_header(&header, link->rx_sequence, link->payload_limit);
	if (result)
		return result;
	if (sizeof(header) + header.payload_bytes > link->buffer_capacity)
		return -EPROTO;
	result = gather(link, link->buffer, &link->buffered, sizeof(header) + header.payload_bytes);
	if (result <= 0)
		return result;
	result = frame_check_payload(header.type, link->buffer + sizeof(header),
				     header.payload_bytes, header.payload_digest);
	if (result)
		return result;
	link->rx_sequence++;
	link->buffered = 0;
	frame_fill(frame, &header, link->buffer + sizeof(header));
	return 1;
}

int link_wait(struct link *link, struct frame *frame, uint64_t deadline_ns)
{
	for (;;) {
		int result = link_next(link, frame);

		if (result != 0)
			return result < 0 ? result : 0;
		result = wait_for(link->fd, POLLIN, deadline_ns);
		if (result)
			return result;
	}
}

static int receive_exactly(struct link *link, uint8_t *to, size_t bytes, uint64_t deadline_ns)
{
	size_t have = 0;

	for (;;) {
		int result = gather(link, to, &have, bytes);

		if (result != 0)
			return result < 0 ? result : 0;
		result = wait_for(link->fd, POLLIN, deadline_ns);
		if (result)
			return result;
	}
}

int link_receive_header(struct link *link, struct frame *frame, uint64_t deadline_ns)
{
	struct pmsm_wire_header header;
	int error = receive_exactly(link, (uint8_t *)&header, sizeof(header), deadline_ns);

	if (error)
		return error;
	error = frame_check_header(&header, link->rx_sequence, link->payload_limit);
	if (error)
		return error;
	link->rx_sequence++;
	frame_fill(frame, &header, NULL);
	return 0;
}

int link_receive_payload(struct link *link, const struct frame *frame, uint8_t *to,
			 uint64_t deadline_ns)
{
	return receive_exactly(link, to, frame->payload_bytes, deadline_ns);
}
