// SPDX-License-Identifier: GPL-2.0-only
#include "source/pipeline.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ethtool.h"

int pipeline_init(struct pipeline *p, const struct options *options)
{
	int error;

	p->compressors = options->threads;
	p->read_bytes = options->kernel_io_single ? PAGE_BYTES : options->chunk_bytes;
	p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->wake_fd < 0)
		return -errno;
	error = ring_init(
	    &p->ring, options->engine == PMSM_ENGINE_DELTA ? PIPELINE_SLOTS_ROUNDS : PIPELINE_SLOTS,
	    options->chunk_bytes);
	for (unsigned int i = 0; !error && i < p->compressors; i++)
		error = codec_context_init(&p->contexts[i]);
	if (error)
		return error;
	p->round.frames = malloc(FRAMES_PER_MESSAGE_MAX * sizeof(*p->round.frames));
	if (!p->round.frames)
		return -ENOMEM;
	p->stacks = mmap(NULL, PIPELINE_THREADS_MAX * PIPELINE_STACK_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p->stacks == MAP_FAILED) {
		p->stacks = NULL;
		return -errno;
	}
	madvise(p->stacks, PIPELINE_THREADS_MAX * PIPELINE_STACK_BYTES, MADV_DONTFORK);
	return 0;
}

void pipeline_destroy(struct pipeline *p)
{
	for (unsigned int i = 0; i < p->compressors; i++)
		codec_context_destroy(&p->contexts[i]);
	ring_destroy(&p->ring);
	free(p->round.frames);
	p->round.frames = NULL;
	if (p->stacks)
		munmap(p->stacks, PIPELINE_THREADS_MAX * PIPELINE_STACK_BYTES);
	if (p->wake_fd >= 0)
		close(p->wake_fd);
	p->wake_fd = -1;
}

static void wake(struct pipeline *p)
{
	uint64_t one = 1;

	(void)!write(p->wake_fd, &one, sizeof(one));
}

static void fail(struct pipeline *p, int error, bool is_read)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&p->error, &none, error))
		p->error_is_read = is_read;
	ring_stop(&p->ring);
	wake(p);
}

static void read_all(struct pipeline *p)
{
	struct chunk *chunk;

	while ((chunk = ring_claim(&p->ring))) {
		int result = p->cargo->fill(p, chunk);

		if (result < 0) {
			fail(p, result, true);
			return;
		}
		if (result == 0) {
			ring_close(&p->ring);
			return;
		}
		ring_fill(&p->ring, chunk);
	}
}

static void *reader_main(void *argument)
{
	struct pipeline *p = argument;

	read_all(p);
	p->read_ns = clock_thread_ns();
	return NULL;
}

static void pack_chunk(struct pipeline *p, struct codec_context *context, struct chunk *chunk)
{
	/* The fixed fields of a pages message lie the same way: see chunk.place. */
	struct pmsm_msg_chunk fixed = {.image_offset = chunk->place,
				       .raw_bytes = chunk->raw_bytes,
				       .codec = (uint8_t)p->codec->id};
	size_t stored = p->codec->compress(context, chunk_stored(chunk), chunk->raw_bytes - 1,
					   chunk_raw(chunk), chunk->raw_bytes);
	uint8_t *frame = chunk->stored_frame;

	if (stored == 0) {
		stored = chunk->raw_bytes;
		fixed.codec = PMSM_CODEC_NONE;
		frame = chunk->raw_frame;
	}
	memcpy(frame, &fixed, sizeof(fixed));
	chunk->payload = frame;
	chunk->payload_bytes = sizeof(fixed) + stored;
	chunk->digest = digest_bytes(frame, chunk->payload_bytes);
}

static void *compressor_main(void *argument)
{
	struct pipeline *p = argument;
	struct codec_context *context = &p->contexts[p->next_context++ % p->compressors];
	struct chunk *chunk;

	while ((chunk = ring_take(&p->ring))) {
		pack_chunk(p, context, chunk);
		ring_finish(&p->ring, chunk);
	}
	p->pack_ns += clock_thread_ns();
	return NULL;
}

/*
 * A device that was stopped for the snapshot may have to negotiate its link again. What is sent
 * before is lost, and TCP then waits for its retransmission timer: longer than the link needs.
 */
static void wait_for_link(struct pipeline *p)
{
	uint64_t deadline = clock_deadline_ms(PIPELINE_LINK_WAIT_MS);

	if (!p->interface)
		return;
	while (!ethtool_has_link(p->interface) && clock_left_ms(deadline) > 0 &&
	       !ring_is_stopped(&p->ring))
		clock_sleep_ms(2);
	p->moved++; /* not a byte, but no stall either */
}

/* Sleeps until so many bytes may have been sent. What waits meanwhile is not stalled. */
static void keep_to_rate(struct pipeline *p, uint64_t begin_ns, uint64_t bytes)
{
	uint64_t due_ns;

	if (!p->bytes_per_s)
		return;
	due_ns = begin_ns + (uint64_t)((double)bytes * 1e9 / (double)p->bytes_per_s);
	while (clock_ns() < due_ns && !ring_is_stopped(&p->ring)) {
		clock_sleep_ms(due_ns - clock_ns() > 20 * NS_PER_MS ? 20 : 1);
		p->moved++;
	}
}

static void *sender_main(void *argument)
{
	struct pipeline *p = argument;
	/* The main thread watches for stalls; this is only the last resort. */
	uint64_t deadline = clock_deadline_ms(p->cargo->timeout_ms);
	uint64_t begin_ns = clock_ns(), sent_before = p->stream->tx_bytes;
	struct chunk *chunk;
	int error = 0;

	wait_for_link(p);
	while (!error && (chunk = ring_next(&p->ring))) {
		while (p->stall_for_test && !ring_is_stopped(&p->ring))
			clock_sleep_ms(20);
		error = link_send_payload(p->stream, p->cargo->message, chunk->payload,
					  chunk->payload_bytes, chunk->digest, deadline, &p->moved);
		p->chain = digest_chain(p->chain, chunk->digest);
		p->chunks++;
		if (p->cargo->message == PMSM_MSG_CHUNK)
			p->image_bytes += chunk->raw_bytes;
		else
			p->round.ahead_bytes += chunk->raw_bytes;
		ring_release(&p->ring, chunk);
		keep_to_rate(p, begin_ns, p->stream->tx_bytes - sent_before);
	}
	if (!error && !ring_is_stopped(&p->ring))
		error = p->cargo->finish(p, deadline);
	p->send_ns = clock_thread_ns();
	if (error) {
		fail(p, error, false);
		return NULL;
	}
	p->sent_all = !ring_is_stopped(&p->ring);
	wake(p);
	return NULL;
}

static int start_thread(struct pipeline *p, void *(*main)(void *))
{
	pthread_attr_t attributes;
	int error;

	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, p->stacks + p->threads_running * PIPELINE_STACK_BYTES,
			      PIPELINE_STACK_BYTES);
	error = pthread_create(&p->threads[p->threads_running], &attributes, main, p);
	pthread_attr_destroy(&attributes);
	if (!error)
		p->threads_running++;
	return -error;
}

int pipeline_start(struct pipeline *p, const struct cargo *cargo, const struct codec *codec,
		   struct snapshot_device *snapshot, struct link *stream)
{
	int error;

	ring_reset(&p->ring);
	p->sent_all = false;
	p->next_context = 0;
	p->read_ns = p->pack_ns = p->send_ns = 0;
	p->cargo = cargo;
	p->codec = codec;
	p->snapshot = snapshot;
	p->stream = stream;
	error = start_thread(p, reader_main);
	for (unsigned int i = 0; !error && i < p->compressors; i++)
		error = start_thread(p, compressor_main);
	if (!error)
		error = start_thread(p, sender_main);
	if (error)
		pipeline_stop(p);
	return error;
}

void pipeline_wipe(struct pipeline *p)
{
	memset(p->ring.memory, 0, p->ring.memory_bytes);
}

void pipeline_stop(struct pipeline *p)
{
	if (p->threads_running == 0)
		return;
	ring_stop(&p->ring);
	/* Wakes a sender that waits for room. Nothing that was sent matters any more. */
	if (!p->sent_all && p->stream && link_is_open(p->stream))
		shutdown(p->stream->fd, SHUT_RDWR);
	for (size_t i = 0; i < p->threads_running; i++)
		pthread_join(p->threads[i], NULL);
	p->threads_running = 0;
}
