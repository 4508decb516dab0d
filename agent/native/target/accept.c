// SPDX-License-Identifier: GPL-2.0-only
/* The source's stream, from its connection to the first byte of memory. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/facts.h"
#include "common/log.h"
#include "target/devices.h"
#include "target/standby.h"

#define HANDSHAKE_TIMEOUT_MS 3000
/*
 * Left to the standby while it loads ahead: network buffers above all, a driver's receive ring
 * among them, which it allocates anew with every packet.
 */
#define RESERVE_BYTES (16u << 20)
#define RESERVE_SHARE 256

static int handshake(struct standby *s, struct pmsm_msg_stream_open *request)
{
	uint64_t deadline = clock_deadline_ms(HANDSHAKE_TIMEOUT_MS);
	struct pmsm_msg_hello hello;
	struct frame frame;
	int error = link_wait(&s->stream, &frame, deadline);

	if (error)
		return error;
	if (frame.type != PMSM_MSG_HELLO)
		return -EPROTO;
	memcpy(&hello, frame.payload, sizeof(hello));
	if (hello.role != PMSM_ROLE_SOURCE ||
	    !attempt_same(&s->id, hello.attempt, hello.generation))
		return -EPROTO;
	hello.cycles_khz = clock_cycles_khz();
	error = link_send(&s->stream, PMSM_MSG_HELLO, &hello, NULL, 0, deadline);
	if (!error)
		error = link_wait(&s->stream, &frame, deadline);
	if (error)
		return error;
	if (frame.type != PMSM_MSG_STREAM_OPEN)
		return -EPROTO;
	memcpy(request, frame.payload, sizeof(*request));
	if (request->chunk_bytes == 0 || request->chunk_bytes % PAGE_BYTES != 0 ||
	    request->chunk_bytes > PMSM_LIMIT_CHUNK_BYTES)
		return -EPROTO;
	return 0;
}

/* The memory that the frames will need is taken now, so that a lack of it shows now. */
static int begin_preload(struct standby *s, const struct pmsm_msg_stream_open *request,
			 struct pmsm_msg_stream_accept *accept, struct failure *failure)
{
	struct pmsm_snapshot_preload_begin begin = {
	    .reserve_pages = (RESERVE_BYTES + facts_own_bytes() / RESERVE_SHARE) / PAGE_BYTES};
	int error = s->snapshot.ops->preload_begin(&s->snapshot, &begin);

	if (error == -ENOTTY || (!error && begin.format != request->image_format))
		return failure_set(failure, PMSM_E_FORMAT_MISMATCH, error,
				   "the source makes format %u, this kernel completes format %u",
				   request->image_format, error ? 0 : begin.format);
	if (error)
		return failure_set(failure, PMSM_E_TARGET_MEMORY, error,
				   "taking memory for the frames: %s", strerror(-error));
	accept->image_format = begin.format;
	accept->owned_bytes = begin.owned_pages * PAGE_BYTES;
	accept->occupied_pfn = begin.occupied_pfn;
	accept->occupied_end_pfn = begin.occupied_end_pfn;
	s->loader.takes_pages = true;
	log_text("%llu MB kept for frames", (unsigned long long)accept->owned_bytes / 1000000);
	return 0;
}

/*
 * Everything that takes time is done now, before the source's window: memory, the device, letting
 * go of the disks, and freezing this machine's own few processes.
 */
static int open_image(struct standby *s, const struct pmsm_msg_stream_open *request,
		      struct failure *failure)
{
	struct pmsm_msg_stream_accept accept = {.chunk_bytes = request->chunk_bytes};
	int error = loader_prepare(&s->loader, request->chunk_bytes);

	s->disks_released = devices_release_disks(DEVICES_ROOT, DEVICES_MOUNTS) > 0;
	if (error)
		return failure_set(failure, PMSM_E_TARGET_MEMORY, error, "chunk ring: %s",
				   strerror(-error));
	error = s->snapshot.ops->open(&s->snapshot, SNAPSHOT_MODE_LOAD);
	if (!error)
		error = s->snapshot.ops->freeze(&s->snapshot);
	if (!error && request->engine == PMSM_ENGINE_DELTA &&
	    begin_preload(s, request, &accept, failure))
		return -1;
	if (!error)
		error = link_send(&s->stream, PMSM_MSG_STREAM_ACCEPT, &accept, NULL, 0,
				  standby_send_deadline());
	/* Threads only now: they inherit that they are not frozen. */
	if (!error)
		error = loader_start(&s->loader, &s->stream, &s->snapshot, s->lease_ms);
	if (error)
		return failure_set(failure, PMSM_E_RESERVE_FAILED, error, "/dev/snapshot: %s",
				   strerror(-error));
	return 0;
}

void standby_accept(struct standby *s)
{
	struct failure failure = {.phase = PMSM_PHASE_PREPARE};
	struct sockaddr_in peer = {0};
	socklen_t peer_bytes = sizeof(peer);
	struct pmsm_msg_stream_open request;
	int on = 1, error;
	int fd = accept4(s->listen_fd, (struct sockaddr *)&peer, &peer_bytes,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (peer.sin_addr.s_addr != s->source_address) {
		log_text("a stranger on the stream port was turned away");
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	link_open(&s->stream, fd, s->stream_buffer, sizeof(s->stream_buffer),
		  PMSM_LIMIT_CONTROL_PAYLOAD_BYTES);
	error = handshake(s, &request);
	if (error) {
		/* The right address with the wrong words: turned away, the lease goes on. */
		log_text("stream refused: %s", strerror(-error));
		link_close(&s->stream);
		return;
	}
	s->stream.payload_limit = sizeof(struct pmsm_msg_chunk) + PMSM_LIMIT_CHUNK_BYTES;
	close(s->listen_fd);
	s->listen_fd = -1;
	if (open_image(s, &request, &failure)) {
		standby_give_up(s, &failure);
		return;
	}
	s->state = STANDBY_LOADING;
	s->told_ns = s->told_bytes = 0;
	s->told_rounds = 0;
	s->told_receive = false;
	fault_begin(&s->fault, PMSM_PHASE_PRECOPY);
	log_text("stream open, chunks of %u KiB", request.chunk_bytes / 1024);
}
