// SPDX-License-Identifier: GPL-2.0-only
#include "source/image.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ethtool.h"

#define LIST_ENTRIES_PER_PAGE (PAGE_BYTES / sizeof(uint64_t))

int pipeline_init(struct pipeline *p, const struct options *options)
{
	int error;

	p->compressors = options->threads;
	p->read_bytes = options->kernel_io_single ? PAGE_BYTES : options->chunk_bytes;
	p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->wake_fd < 0)
		return -errno;
	error = ring_init(&p->ring, PIPELINE_SLOTS, options->chunk_bytes);
	for (unsigned int i = 0; !error && i < p->compressors; i++)
		error = codec_context_init(&p->contexts[i]);
	if (error)
		return error;
	p->stacks = mmap(NULL, PIPELINE_THREADS_MAX * PIPELINE_STACK_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p->stacks == MAP_FAILED) {
		p->stacks = NULL;
		return -errno;
	}
	return 0;
}

void pipeline_destroy(struct pipeline *p)
{
	for (unsigned int i = 0; i < p->compressors; i++)
		codec_context_destroy(&p->contexts[i]);
	ring_destroy(&p->ring);
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

/*
 * The list of page frames tells how much memory was to be saved: pages that are all zero are in the
 * list but not in the image.
 */
static void look_at_list(struct pipeline *p, const uint8_t *raw, uint64_t offset, size_t bytes)
{
	uint64_t last, entries = 0;
	const uint8_t *page;

	if (offset == 0 && bytes >= PAGE_BYTES) {
		struct image_header header;

		memcpy(&header, raw, sizeof(header));
		if (header.pages > header.image_pages + 1)
			p->list_pages = header.pages - header.image_pages - 1;
	}
	last = p->list_pages * PAGE_BYTES;
	if (p->list_pages == 0 || last < offset || last + PAGE_BYTES > offset + bytes)
		return;
	page = raw + (last - offset);
	for (size_t i = 0; i < LIST_ENTRIES_PER_PAGE; i++) {
		uint64_t frame;

		memcpy(&frame, page + i * sizeof(frame), sizeof(frame));
		if (frame == IMAGE_LIST_END)
			break;
		entries++;
	}
	p->saveable_bytes =
	    ((p->list_pages - 1) * LIST_ENTRIES_PER_PAGE + entries) * (uint64_t)PAGE_BYTES;
}

/* Fills one chunk. The number of bytes, 0 at the end of the image, or -errno. */
static ssize_t read_chunk(struct pipeline *p, uint8_t *to)
{
	size_t have = 0;

	while (have < p->ring.chunk_bytes) {
		size_t want = min_u64(p->read_bytes, p->ring.chunk_bytes - have);
		ssize_t n = p->snapshot->ops->read(p->snapshot, to + have, want);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return n;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return have % PAGE_BYTES == 0 ? (ssize_t)have : -EIO;
}

static void read_image(struct pipeline *p)
{
	uint64_t offset = 0;
	struct chunk *chunk;

	while ((chunk = ring_claim(&p->ring))) {
		ssize_t n = read_chunk(p, chunk_raw(chunk));

		if (n < 0) {
			fail(p, (int)n, true);
			return;
		}
		if (n == 0) {
			ring_close(&p->ring);
			return;
		}
		look_at_list(p, chunk_raw(chunk), offset, (size_t)n);
		chunk->image_offset = offset;
		chunk->raw_bytes = (uint32_t)n;
		offset += (uint64_t)n;
		ring_fill(&p->ring, chunk);
	}
}

static void *reader_main(void *argument)
{
	struct pipeline *p = argument;

	read_image(p);
	p->read_ns = clock_thread_ns();
	return NULL;
}

static void pack_chunk(struct pipeline *p, struct codec_context *context, struct chunk *chunk)
{
	struct pmsm_msg_chunk fixed = {.image_offset = chunk->image_offset,
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

static int send_end(struct pipeline *p, uint64_t deadline)
{
	struct pmsm_msg_end end = {
	    .chunks = p->chunks, .raw_bytes = p->image_bytes, .chain = p->chain};

	return link_send(p->stream, PMSM_MSG_END, &end, NULL, 0, deadline);
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

static void *sender_main(void *argument)
{
	struct pipeline *p = argument;
	/* The main thread watches for stalls; this is only the last resort. */
	uint64_t deadline = clock_deadline_ms(PMSM_PHASE_TIMEOUT_MS_SEND);
	struct chunk *chunk;
	int error = 0;

	wait_for_link(p);
	while (!error && (chunk = ring_next(&p->ring))) {
		while (p->stall_for_test && !ring_is_stopped(&p->ring))
			clock_sleep_ms(20);
		error = link_send_payload(p->stream, PMSM_MSG_CHUNK, chunk->payload,
					  chunk->payload_bytes, chunk->digest, deadline, &p->moved);
		p->chain = digest_chain(p->chain, chunk->digest);
		p->image_bytes += chunk->raw_bytes;
		p->chunks++;
		ring_release(&p->ring, chunk);
	}
	if (!error && !ring_is_stopped(&p->ring))
		error = send_end(p, deadline);
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

int pipeline_start(struct pipeline *p, const struct codec *codec, struct snapshot_device *snapshot,
		   struct link *stream)
{
	int error;

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
