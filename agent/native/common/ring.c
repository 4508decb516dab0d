// SPDX-License-Identifier: GPL-2.0-only
#include "common/ring.h"

#include <errno.h>
#include <sys/mman.h>

int ring_init(struct ring *ring, size_t slots, uint32_t chunk_bytes)
{
	size_t frame_bytes = sizeof(struct pmsm_msg_chunk) + chunk_bytes;
	uint8_t *at;

	if (slots < 2 || slots > RING_SLOTS_MAX || chunk_bytes == 0 ||
	    chunk_bytes % PAGE_BYTES != 0 || chunk_bytes > PMSM_LIMIT_CHUNK_BYTES)
		return -EINVAL;
	frame_bytes = (frame_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	*ring = (struct ring){.slots = slots, .chunk_bytes = chunk_bytes};
	ring->memory_bytes = slots * 2 * frame_bytes;
	at = mmap(NULL, ring->memory_bytes, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	/* No child of ours has a use for it, and without it forking is quick. */
	madvise(at, ring->memory_bytes, MADV_DONTFORK);
	ring->memory = at;
	for (size_t i = 0; i < slots; i++, at += 2 * frame_bytes) {
		ring->chunks[i].raw_frame = at;
		ring->chunks[i].stored_frame = at + frame_bytes;
	}
	pthread_mutex_init(&ring->lock, NULL);
	pthread_cond_init(&ring->changed, NULL);
	return 0;
}

void ring_reset(struct ring *ring)
{
	for (size_t i = 0; i < ring->slots; i++)
		ring->chunks[i].state = CHUNK_FREE;
	ring->claimed = ring->filled = ring->taken = ring->released = 0;
	ring->closed = ring->stopped = false;
}

void ring_destroy(struct ring *ring)
{
	if (ring->memory)
		munmap(ring->memory, ring->memory_bytes);
	ring->memory = NULL;
}

static struct chunk *chunk_at(struct ring *ring, uint64_t number)
{
	return &ring->chunks[number % ring->slots];
}

struct chunk *ring_claim(struct ring *ring)
{
	struct chunk *chunk = NULL;

	pthread_mutex_lock(&ring->lock);
	while (!ring->stopped && ring->claimed - ring->released >= ring->slots)
		pthread_cond_wait(&ring->changed, &ring->lock);
	if (!ring->stopped && !ring->closed)
		chunk = chunk_at(ring, ring->claimed++);
	pthread_mutex_unlock(&ring->lock);
	return chunk;
}

static void pass_on(struct ring *ring, struct chunk *chunk, int state, uint64_t *count)
{
	pthread_mutex_lock(&ring->lock);
	chunk->state = state;
	if (count)
		(*count)++;
	pthread_cond_broadcast(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

void ring_fill(struct ring *ring, struct chunk *chunk)
{
	pass_on(ring, chunk, CHUNK_FILLED, &ring->filled);
}

void ring_finish(struct ring *ring, struct chunk *chunk)
{
	pass_on(ring, chunk, CHUNK_DONE, NULL);
}

void ring_release(struct ring *ring, struct chunk *chunk)
{
	pass_on(ring, chunk, CHUNK_FREE, &ring->released);
}

void ring_close(struct ring *ring)
{
	pthread_mutex_lock(&ring->lock);
	ring->closed = true;
	pthread_cond_broadcast(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

void ring_stop(struct ring *ring)
{
	pthread_mutex_lock(&ring->lock);
	ring->stopped = true;
	pthread_cond_broadcast(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

bool ring_is_stopped(struct ring *ring)
{
	bool stopped;

	pthread_mutex_lock(&ring->lock);
	stopped = ring->stopped;
	pthread_mutex_unlock(&ring->lock);
	return stopped;
}

struct chunk *ring_take(struct ring *ring)
{
	struct chunk *chunk = NULL;

	pthread_mutex_lock(&ring->lock);
	while (!ring->stopped && ring->taken == ring->filled && !ring->closed)
		pthread_cond_wait(&ring->changed, &ring->lock);
	if (!ring->stopped && ring->taken < ring->filled) {
		chunk = chunk_at(ring, ring->taken++);
		chunk->state = CHUNK_TAKEN;
	}
	pthread_mutex_unlock(&ring->lock);
	return chunk;
}

struct chunk *ring_next(struct ring *ring)
{
	struct chunk *chunk = NULL;

	pthread_mutex_lock(&ring->lock);
	for (;;) {
		struct chunk *first = chunk_at(ring, ring->released);

		if (ring->stopped || (ring->closed && ring->released == ring->filled))
			break;
		if (ring->released < ring->filled && first->state == CHUNK_DONE) {
			chunk = first;
			break;
		}
		pthread_cond_wait(&ring->changed, &ring->lock);
	}
	pthread_mutex_unlock(&ring->lock);
	return chunk;
}
