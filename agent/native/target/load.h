/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_LOAD_H
#define PMSM_LOAD_H

#include "common/codec.h"
#include "common/link.h"
#include "common/ring.h"
#include "common/snapshot.h"

/*
 * Memory's way in, the mirror of source/pipeline.h: one thread receives, several check digests and
 * decompress, one gives it to /dev/snapshot in order: frames of the pre-copy ahead of the image,
 * then the image. Memory is that of the ring, whatever the size of the image.
 *
 * What comes over the stream is hostile until checked: sizes before anything is received, offsets
 * before anything is queued, digests before anything is decompressed, and the decompressors are
 * bounded on both sides. Only whole, checked, ordered chunks reach the kernel.
 */
#define LOADER_THREADS_MAX 10
#define LOADER_WORKERS_MAX 8
#define LOADER_STACK_BYTES (256 * 1024)
#define LOADER_RING_BYTES  (2u << 20)
#define LOADER_SLOTS_MIN   4
#define LOADER_SLOTS_MAX   32

struct loader {
	struct ring ring;
	bool ring_ready;
	struct codec_context contexts[LOADER_WORKERS_MAX];
	unsigned int workers;
	uint8_t *stacks;
	uint8_t *probe; /* scratch for probes */
	pthread_t threads[LOADER_THREADS_MAX];
	size_t threads_running;
	_Atomic unsigned int next_context;
	int wake_fd; /* eventfd: finished or failed */

	struct link *stream;
	struct snapshot_device *snapshot;
	uint32_t silence_ms; /* a stream that says nothing for so long is given up */

	bool takes_pages; /* the kernel was asked to take them: engine delta */

	_Atomic uint64_t loaded_bytes; /* of the image, taken by the kernel */
	_Atomic uint64_t ahead_bytes;  /* of pages messages, likewise */
	_Atomic uint64_t chunks_loaded;
	_Atomic uint64_t round_chunks; /* chunks until the end of the last round that was sent */
	_Atomic uint32_t rounds;       /* that were sent */
	_Atomic uint64_t first_cycles; /* when the first chunk arrived */
	_Atomic bool finished; /* every byte is in the kernel, all digests and totals agree */
	_Atomic bool failed;
	pthread_mutex_t failure_lock;
	struct failure failure; /* valid when failed */

	/* processor time of the stages, for the log */
	_Atomic uint64_t receive_ns;
	_Atomic uint64_t unpack_ns;
	_Atomic uint64_t write_ns;

	/* the receiver's; valid for others when finished */
	uint64_t chunks;
	uint64_t raw_bytes;
	uint64_t chain;
};

/* Allocates all but the ring, once. */
int loader_init(struct loader *loader, unsigned int workers);
/* Allocates the ring for chunks of that size; before processes are frozen. */
int loader_prepare(struct loader *loader, uint32_t chunk_bytes);
int loader_start(struct loader *loader, struct link *stream, struct snapshot_device *snapshot,
		 uint32_t silence_ms);
/* Ends all threads, whatever they are doing, and frees the ring. */
void loader_stop(struct loader *loader);
void loader_destroy(struct loader *loader);

/* Rounds of which everything is in the kernel. */
uint32_t loader_rounds(const struct loader *loader);
/* Takes the signal off wake_fd. */
void loader_awake(struct loader *loader);

/* Whether the fixed fields of a chunk may be where they are; for the tests too. */
bool chunk_fields_ok(const struct pmsm_msg_chunk *fixed, size_t stored_bytes, uint64_t offset,
		     uint32_t chunk_bytes);
bool pages_fields_ok(const struct pmsm_msg_pages *fixed, size_t stored_bytes, uint32_t chunk_bytes);

#endif
