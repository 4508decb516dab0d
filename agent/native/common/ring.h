/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_RING_H
#define PMSM_RING_H

#include <pthread.h>

#include "common/base.h"

/*
 * A bounded ring of chunks between one producer, several workers and one consumer:
 *
 *     producer: ring_claim -> fill -> ring_fill          in order
 *     worker:   ring_take -> transform -> ring_finish    in any order
 *     consumer: ring_next -> use -> ring_release         in order again
 *
 * Its size bounds the memory of a transfer, whatever the size of the image. Any party may end it
 * with ring_stop(): then every call returns NULL, and nobody waits.
 */
struct chunk {
	enum { CHUNK_FREE, CHUNK_FILLED, CHUNK_TAKEN, CHUNK_DONE } state;
	/*
	 * What the first eight bytes of the message say: of a chunk its offset in the image, of a
	 * pages message how many frames and pages it holds.
	 */
	uint64_t place;
	uint16_t message; /* receiver: which of both it is */
	uint32_t raw_bytes;
	uint64_t digest; /* of the payload on the wire */
	/*
	 * Two buffers, each with room for a frame's fixed fields and chunk_bytes: one for the raw
	 * bytes, one for the stored ones. What does not compress travels from (or is used from)
	 * where it lies, without a copy.
	 */
	uint8_t *raw_frame;
	uint8_t *stored_frame;
	const uint8_t *payload; /* the frame's payload, in one of both */
	size_t payload_bytes;
	const uint8_t *data; /* receiver: the raw bytes, in one of both */
};

static inline uint8_t *chunk_raw(const struct chunk *chunk)
{
	return chunk->raw_frame + sizeof(struct pmsm_msg_chunk);
}

static inline uint8_t *chunk_stored(const struct chunk *chunk)
{
	return chunk->stored_frame + sizeof(struct pmsm_msg_chunk);
}

/* Both messages have the same shape, so that both fit the same buffers. */
_Static_assert(sizeof(struct pmsm_msg_pages) == sizeof(struct pmsm_msg_chunk) &&
		   offsetof(struct pmsm_msg_pages, raw_bytes) ==
		       offsetof(struct pmsm_msg_chunk, raw_bytes) &&
		   offsetof(struct pmsm_msg_pages, codec) == offsetof(struct pmsm_msg_chunk, codec),
	       "pages and chunk are laid out alike");

static inline uint64_t frames_place(uint32_t frames, uint32_t pages)
{
	return frames | (uint64_t)pages << 32;
}

static inline uint32_t place_frames(uint64_t place)
{
	return (uint32_t)place;
}

static inline uint32_t place_pages(uint64_t place)
{
	return (uint32_t)(place >> 32);
}

#define RING_SLOTS_MAX 128

struct ring {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct chunk chunks[RING_SLOTS_MAX];
	size_t slots;
	uint64_t claimed; /* counts of chunks that passed each station */
	uint64_t filled;
	uint64_t taken;
	uint64_t released;
	bool closed;
	bool stopped;
	uint32_t chunk_bytes;
	uint8_t *memory;
	size_t memory_bytes;
};

int ring_init(struct ring *ring, size_t slots, uint32_t chunk_bytes);
void ring_reset(struct ring *ring);
void ring_destroy(struct ring *ring);

struct chunk *ring_claim(struct ring *ring);
void ring_fill(struct ring *ring, struct chunk *chunk);
void ring_close(struct ring *ring); /* the producer has no more */
struct chunk *ring_take(struct ring *ring);
void ring_finish(struct ring *ring, struct chunk *chunk);
struct chunk *ring_next(struct ring *ring);
void ring_release(struct ring *ring, struct chunk *chunk);
void ring_stop(struct ring *ring);
bool ring_is_stopped(struct ring *ring);

#endif
