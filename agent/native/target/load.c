// SPDX-License-Identifier: GPL-2.0-only
#include "target/load.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"

#define PROBE_PAYLOAD_BYTES (sizeof(struct pmsm_msg_probe) + PMSM_LIMIT_PROBE_BYTES)
#define ACK_TIMEOUT_MS	    2000

static void *allocate(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

int loader_init(struct loader *l, unsigned int workers)
{
	int error;

	*l = (struct loader){.wake_fd = -1};
	l->workers = workers < 1 ? 1 : workers > LOADER_WORKERS_MAX ? LOADER_WORKERS_MAX : workers;
	pthread_mutex_init(&l->failure_lock, NULL);
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	l->stacks = allocate(LOADER_THREADS_MAX * LOADER_STACK_BYTES);
	l->probe = allocate(PROBE_PAYLOAD_BYTES);
	if (l->wake_fd < 0 || !l->stacks || !l->probe)
		return -ENOMEM;
	for (unsigned int i = 0; i < l->workers; i++) {
		error = codec_context_init(&l->contexts[i]);
		if (error)
			return error;
	}
	return 0;
}

void loader_destroy(struct loader *l)
{
	loader_stop(l);
	for (unsigned int i = 0; i < l->workers; i++)
		codec_context_destroy(&l->contexts[i]);
	if (l->stacks)
		munmap(l->stacks, LOADER_THREADS_MAX * LOADER_STACK_BYTES);
	if (l->probe)
		munmap(l->probe, PROBE_PAYLOAD_BYTES);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
}

int loader_prepare(struct loader *l, uint32_t chunk_bytes)
{
	size_t slots = chunk_bytes ? LOADER_RING_BYTES / chunk_bytes : 0;
	int error;

	if (slots < LOADER_SLOTS_MIN)
		slots = LOADER_SLOTS_MIN;
	if (slots > LOADER_SLOTS_MAX)
		slots = LOADER_SLOTS_MAX;
	error = ring_init(&l->ring, slots, chunk_bytes);
	l->ring_ready = error == 0;
	l->loaded_bytes = l->ahead_bytes = l->chunks_loaded = l->first_cycles = 0;
	l->round_chunks = l->rounds = 0;
	l->takes_pages = false;
	l->finished = l->failed = false;
	l->failure = (struct failure){0};
	l->chunks = l->raw_bytes = l->chain = 0;
	l->next_context = 0;
	l->receive_ns = l->unpack_ns = l->write_ns = 0;
	return error;
}

static void wake(struct loader *l)
{
	uint64_t one = 1;

	(void)!write(l->wake_fd, &one, sizeof(one));
}

static void fail(struct loader *l, uint16_t code, int system_errno, const char *detail)
{
	pthread_mutex_lock(&l->failure_lock);
	failure_set(&l->failure, code, system_errno, "%s", detail);
	l->failure.phase = PMSM_PHASE_SEND;
	pthread_mutex_unlock(&l->failure_lock);
	l->failed = true;
	ring_stop(&l->ring);
	wake(l);
}

static void fail_receive(struct loader *l, int error)
{
	if (error == -ETIMEDOUT)
		fail(l, PMSM_E_STALLED, error, "the stream said nothing for the lease's time");
	else
		fail(l, link_error_code(error, PMSM_E_STREAM_FAILED), error, strerror(-error));
}

static int take_probe(struct loader *l, const struct frame *frame, uint64_t deadline)
{
	struct pmsm_msg_probe_ack ack;
	struct pmsm_msg_probe probe;
	int error = link_receive_payload(l->stream, frame, l->probe, deadline);

	if (!error)
		error =
		    frame_check_payload(frame->type, l->probe, frame->payload_bytes, frame->digest);
	if (error)
		return error;
	memcpy(&probe, l->probe, sizeof(probe));
	ack.cookie = probe.cookie;
	return link_send(l->stream, PMSM_MSG_PROBE_ACK, &ack, NULL, 0,
			 clock_deadline_ms(ACK_TIMEOUT_MS));
}

static bool stored_ok(uint32_t raw_bytes, uint8_t codec, size_t stored_bytes)
{
	if (stored_bytes == 0 || stored_bytes > raw_bytes)
		return false;
	return codec != PMSM_CODEC_NONE || stored_bytes == raw_bytes;
}

bool chunk_fields_ok(const struct pmsm_msg_chunk *fixed, size_t stored_bytes, uint64_t offset,
		     uint32_t chunk_bytes)
{
	if (fixed->image_offset != offset || fixed->raw_bytes == 0 ||
	    fixed->raw_bytes % PAGE_BYTES != 0 || fixed->raw_bytes > chunk_bytes)
		return false;
	return stored_ok(fixed->raw_bytes, fixed->codec, stored_bytes);
}

bool pages_fields_ok(const struct pmsm_msg_pages *fixed, size_t stored_bytes, uint32_t chunk_bytes)
{
	uint64_t raw_bytes =
	    fixed->pages * (uint64_t)PAGE_BYTES + fixed->frames * (uint64_t)sizeof(uint64_t);

	if (fixed->frames == 0 || fixed->pages > fixed->frames || raw_bytes != fixed->raw_bytes ||
	    raw_bytes > chunk_bytes)
		return false;
	return stored_ok(fixed->raw_bytes, fixed->codec, stored_bytes);
}

/* A message that holds data, of either kind: its fixed fields, or -EPROTO. */
static int check_data(const struct loader *l, const struct frame *frame, const uint8_t *payload,
		      struct pmsm_msg_chunk *fixed)
{
	struct pmsm_msg_pages frames;
	size_t stored = frame->payload_bytes - sizeof(*fixed);
	bool ok = pmsm_fields_ok(frame->type, payload);

	memcpy(fixed, payload, sizeof(*fixed));
	if (frame->type == PMSM_MSG_CHUNK) {
		ok = ok && chunk_fields_ok(fixed, stored, l->raw_bytes, l->ring.chunk_bytes);
	} else {
		memcpy(&frames, payload, sizeof(frames));
		ok = ok && pages_fields_ok(&frames, stored, l->ring.chunk_bytes);
	}
	return ok ? 0 : -EPROTO;
}

/* 1: the ring was stopped, nothing more is wanted. */
static int take_data(struct loader *l, const struct frame *frame, uint64_t deadline)
{
	struct pmsm_msg_chunk fixed;
	struct chunk *chunk;
	int error;

	if (frame->payload_bytes < sizeof(fixed) ||
	    frame->payload_bytes > sizeof(fixed) + l->ring.chunk_bytes)
		return -EPROTO;
	if (l->first_cycles == 0 && frame->type == PMSM_MSG_CHUNK)
		l->first_cycles = clock_cycles();
	chunk = ring_claim(&l->ring);
	if (!chunk)
		return 1;
	error = link_receive_payload(l->stream, frame, chunk->stored_frame, deadline);
	if (error)
		return error;
	/* A damaged chunk must be called that, also if it is the offset that is damaged. */
	if (check_data(l, frame, chunk->stored_frame, &fixed)) {
		error = frame_check_payload(frame->type, chunk->stored_frame, frame->payload_bytes,
					    frame->digest);
		return error ? error : -EPROTO;
	}
	chunk->message = frame->type;
	chunk->place = fixed.image_offset;
	chunk->raw_bytes = fixed.raw_bytes;
	chunk->digest = frame->digest;
	chunk->payload = chunk->stored_frame;
	chunk->payload_bytes = frame->payload_bytes;
	if (frame->type == PMSM_MSG_CHUNK)
		l->raw_bytes += fixed.raw_bytes;
	l->chunks++;
	l->chain = digest_chain(l->chain, frame->digest);
	ring_fill(&l->ring, chunk);
	return 0;
}

/*
 * Whoever is last, the receiver of the round's end or the writer of its last chunk, wakes the main
 * thread. Each stores its own count before it looks at the other's, so one of them sees both.
 */
static void wake_if_loaded(struct loader *l)
{
	if (l->rounds > 0 && l->chunks_loaded == l->round_chunks)
		wake(l);
}

uint32_t loader_rounds(const struct loader *l)
{
	uint32_t rounds = l->rounds;

	return rounds > 0 && l->chunks_loaded < l->round_chunks ? rounds - 1 : rounds;
}

/* A message without a tail; its size was checked with its header. */
static int take_fixed(struct loader *l, const struct frame *frame, void *to, size_t bytes,
		      uint64_t deadline)
{
	int error = link_receive_payload(l->stream, frame, to, deadline);

	return error ? error : frame_check_payload(frame->type, to, bytes, frame->digest);
}

static int take_round_end(struct loader *l, const struct frame *frame, uint64_t deadline)
{
	struct pmsm_msg_round_end end;
	int error = take_fixed(l, frame, &end, sizeof(end), deadline);

	if (error)
		return error;
	if (end.number != l->rounds + 1 || end.chunks != l->chunks || end.chain != l->chain)
		return -EBADMSG;
	l->round_chunks = l->chunks;
	l->rounds = end.number;
	wake_if_loaded(l);
	return 0;
}

static int take_end(struct loader *l, const struct frame *frame, uint64_t deadline)
{
	struct pmsm_msg_end end;
	int error = take_fixed(l, frame, &end, sizeof(end), deadline);

	if (error)
		return error;
	if (end.chunks != l->chunks || end.raw_bytes != l->raw_bytes || end.chain != l->chain ||
	    end.raw_bytes == 0)
		return -EBADMSG;
	ring_close(&l->ring);
	return 1;
}

/* Frames come before the image only. */
static bool pages_may_come(const struct loader *l, const struct frame *frame, uint16_t type)
{
	return frame->type == type && l->takes_pages && l->raw_bytes == 0;
}

static void *receiver_main(void *argument)
{
	struct loader *l = argument;
	int result = 0;

	while (result == 0) {
		uint64_t deadline = clock_deadline_ms(l->silence_ms);
		struct frame frame;

		result = link_receive_header(l->stream, &frame, deadline);
		if (result)
			break;
		if (frame.type == PMSM_MSG_CHUNK || pages_may_come(l, &frame, PMSM_MSG_PAGES))
			result = take_data(l, &frame, deadline);
		else if (pages_may_come(l, &frame, PMSM_MSG_ROUND_END))
			result = take_round_end(l, &frame, deadline);
		else if (frame.type == PMSM_MSG_END)
			result = take_end(l, &frame, deadline);
		else if (frame.type == PMSM_MSG_PROBE && l->chunks == 0)
			result = take_probe(l, &frame, deadline);
		else
			result = -EPROTO;
	}
	if (result < 0)
		fail_receive(l, result);
	l->receive_ns = clock_thread_ns();
	return NULL;
}

/* Checks and unpacks one chunk. */
static int unpack_chunk(struct loader *l, struct codec_context *context, struct chunk *chunk)
{
	struct pmsm_msg_chunk fixed;
	size_t stored = chunk->payload_bytes - sizeof(fixed);

	if (digest_bytes(chunk->payload, chunk->payload_bytes) != chunk->digest)
		return -EBADMSG;
	memcpy(&fixed, chunk->payload, sizeof(fixed));
	if (fixed.codec == PMSM_CODEC_NONE) {
		chunk->data = chunk_stored(chunk);
		return 0;
	}
	chunk->data = chunk_raw(chunk);
	(void)l;
	return codec_by_id(fixed.codec)
		       ->decompress(context, chunk_raw(chunk), chunk->raw_bytes,
				    chunk_stored(chunk), stored)
		   ? 0
		   : -EPROTO;
}

static void *worker_main(void *argument)
{
	struct loader *l = argument;
	struct codec_context *context = &l->contexts[l->next_context++ % l->workers];
	struct chunk *chunk;

	while ((chunk = ring_take(&l->ring))) {
		int error = unpack_chunk(l, context, chunk);

		if (error) {
			fail_receive(l, error);
			break;
		}
		ring_finish(&l->ring, chunk);
	}
	l->unpack_ns += clock_thread_ns();
	return NULL;
}

static int preload_frames(struct loader *l, const struct chunk *chunk)
{
	const uint8_t *frames = chunk->data + (size_t)place_pages(chunk->place) * PAGE_BYTES;
	uint32_t frames_done = 0, pages_done = 0;

	while (frames_done < place_frames(chunk->place)) {
		struct pmsm_snapshot_preload io = {
		    .frames = (uintptr_t)(frames + frames_done * sizeof(uint64_t)),
		    .data = (uintptr_t)(chunk->data + (size_t)pages_done * PAGE_BYTES),
		    .frames_nr = place_frames(chunk->place) - frames_done,
		    .data_nr = place_pages(chunk->place) - pages_done};
		int error = l->snapshot->ops->preload(l->snapshot, &io);

		if (error && error != -EINTR)
			return error;
		if (!error && io.frames_nr == 0)
			return -EIO;
		frames_done += io.frames_nr;
		pages_done += io.data_nr;
	}
	/* Pages that belong to no frame: the sender cannot count. */
	if (pages_done != place_pages(chunk->place))
		return -EPROTO;
	l->ahead_bytes += chunk->raw_bytes;
	return 0;
}

/* Hands a chunk to the kernel; a stock kernel takes one page a call. */
static int write_chunk(struct loader *l, const struct chunk *chunk)
{
	size_t done = 0;

	if (chunk->message == PMSM_MSG_PAGES)
		return preload_frames(l, chunk);

	while (done < chunk->raw_bytes) {
		ssize_t n = l->snapshot->ops->write(l->snapshot, chunk->data + done,
						    chunk->raw_bytes - done);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EFBIG; /* the kernel has all that its list names, and more comes */
		done += (size_t)n;
		l->loaded_bytes += (uint64_t)n;
	}
	return 0;
}

static void *writer_main(void *argument)
{
	struct loader *l = argument;
	struct chunk *chunk;

	while ((chunk = ring_next(&l->ring))) {
		int error = write_chunk(l, chunk);

		if (error) {
			char detail[128];

			snprintf(detail, sizeof(detail),
				 "/dev/snapshot after %llu bytes ahead and %llu of the image: %s",
				 (unsigned long long)l->ahead_bytes,
				 (unsigned long long)l->loaded_bytes, strerror(-error));
			fail(l, error == -ENOMEM ? PMSM_E_TARGET_MEMORY : PMSM_E_IMAGE_REJECTED,
			     error, detail);
			return NULL;
		}
		ring_release(&l->ring, chunk);
		l->chunks_loaded++;
		wake_if_loaded(l);
	}
	l->write_ns = clock_thread_ns();
	if (!ring_is_stopped(&l->ring)) {
		l->finished = true;
		wake(l);
	}
	return NULL;
}

static int start_thread(struct loader *l, void *(*main)(void *))
{
	pthread_attr_t attributes;
	int error;

	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, l->stacks + l->threads_running * LOADER_STACK_BYTES,
			      LOADER_STACK_BYTES);
	error = pthread_create(&l->threads[l->threads_running], &attributes, main, l);
	pthread_attr_destroy(&attributes);
	if (!error)
		l->threads_running++;
	return -error;
}

int loader_start(struct loader *l, struct link *stream, struct snapshot_device *snapshot,
		 uint32_t silence_ms)
{
	int error;

	l->stream = stream;
	l->snapshot = snapshot;
	l->silence_ms = silence_ms;
	error = start_thread(l, receiver_main);
	for (unsigned int i = 0; !error && i < l->workers; i++)
		error = start_thread(l, worker_main);
	if (!error)
		error = start_thread(l, writer_main);
	if (error)
		loader_stop(l);
	return error;
}

void loader_awake(struct loader *l)
{
	uint64_t drained;

	(void)!read(l->wake_fd, &drained, sizeof(drained));
}

void loader_stop(struct loader *l)
{
	if (l->ring_ready)
		ring_stop(&l->ring);
	if (l->threads_running && !l->finished && l->stream && link_is_open(l->stream))
		shutdown(l->stream->fd, SHUT_RD); /* wakes the receiver */
	for (size_t i = 0; i < l->threads_running; i++)
		pthread_join(l->threads[i], NULL);
	l->threads_running = 0;
	if (l->ring_ready)
		ring_destroy(&l->ring);
	l->ring_ready = false;
	loader_awake(l);
}
