/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_PIPELINE_H
#define PMSM_PIPELINE_H

#include "common/codec.h"
#include "common/link.h"
#include "common/ring.h"
#include "common/snapshot.h"
#include "source/options.h"

/*
 * Memory's way out: one thread reads /dev/snapshot, several compress and digest, one sends in
 * order. No stage waits for the end of another; the ring between them bounds the memory.
 *
 * It runs once for each round of the pre-copy (source/precopy.c) and once for the image
 * (source/image.c), which differ in what is read and in the messages.
 *
 * The image's threads are made after the snapshot, so they are not in the image, and inherit from
 * the main thread that they are not frozen. They must have ended before anything is thawed.
 */
#define FRAMES_PER_MESSAGE_MAX (PAGE_BYTES / sizeof(uint64_t))
#define PIPELINE_LINK_WAIT_MS  1500
#define PIPELINE_SLOTS	       32
/*
 * The ring is memory like any other: what goes through it in a round has changed for the next one.
 * So it is small where there are rounds, and is made zero again before the window, since zero pages
 * cost nothing.
 */
#define PIPELINE_SLOTS_ROUNDS 8
#define PIPELINE_STACK_BYTES  (256 * 1024)
#define PIPELINE_THREADS_MAX  (COMPRESSORS_MAX + 2)

struct pipeline;

/* What is sent. */
struct cargo {
	uint16_t message; /* for each chunk: CHUNK or PAGES */
	/* By the reader's thread. 1: chunk filled, 0: that was all, or -errno. */
	int (*fill)(struct pipeline *pipeline, struct chunk *chunk);
	/* By the sender's, after the last chunk: the message that says so. */
	int (*finish)(struct pipeline *pipeline, uint64_t deadline_ns);
	uint64_t timeout_ms;
};

/* One round of the pre-copy, see source/precopy.h; what counts is read while it runs. */
struct round {
	uint32_t number; /* from 1 */
	uint64_t next_pfn;
	/* What the reader keeps all threads to: 1000 is one processor; 0: no limit. */
	unsigned int share_permille;
	uint64_t begin_ns, begin_cpu_ns;
	uint32_t unknown_flags;	      /* of SNAPSHOT_LIVE_READ to this kernel */
	bool split;		      /* huge pages that were written to */
	uint64_t *frames;	      /* room for the frame numbers of one chunk */
	_Atomic uint64_t looked;      /* frames that would be saved */
	_Atomic uint64_t changed;     /* of these, not what was given last */
	_Atomic uint64_t pages;	      /* of these, not all zero */
	_Atomic uint64_t ahead_bytes; /* of all rounds: raw bytes of what was sent */
};

struct pipeline {
	struct ring ring;
	struct codec_context contexts[COMPRESSORS_MAX];
	uint8_t *stacks;
	pthread_t threads[PIPELINE_THREADS_MAX];
	size_t threads_running;
	unsigned int compressors;
	size_t read_bytes; /* asked of the kernel in one call */

	const struct cargo *cargo;
	const struct codec *codec;
	struct snapshot_device *snapshot;
	struct link *stream;
	int wake_fd;	       /* eventfd: something ended or failed */
	const char *interface; /* the sender waits until it has a link; NULL: does not */
	uint64_t bytes_per_s;  /* most that the sender may send; 0: no limit */
	bool stall_for_test;
	_Atomic unsigned int next_context; /* each compressor takes one */

	_Atomic uint64_t moved; /* bytes that the socket took, and all else that is no stall */
	_Atomic bool sent_all;
	_Atomic int error;	   /* -errno of the first failure */
	_Atomic int error_is_read; /* it was the kernel that refused */

	/* processor time of the stages, for the log */
	_Atomic uint64_t read_ns;
	_Atomic uint64_t pack_ns;
	_Atomic uint64_t send_ns;

	/* of the whole attempt; the sender's, valid for others when sent_all */
	uint64_t chunks;
	uint64_t chain;

	/* of the image */
	uint64_t image_bytes; /* sent; valid when sent_all */
	uint64_t image_offset;
	uint64_t saveable_bytes; /* by the list of a full image */
	uint64_t list_pages;	 /* length of the image's list of page frames */

	struct round round;
};

int pipeline_init(struct pipeline *pipeline, const struct options *options);
void pipeline_destroy(struct pipeline *pipeline);

int pipeline_start(struct pipeline *pipeline, const struct cargo *cargo, const struct codec *codec,
		   struct snapshot_device *snapshot, struct link *stream);

/* Forgets what went through the ring: its pages are all zero again. */
void pipeline_wipe(struct pipeline *pipeline);

/* Ends all threads, whatever they are doing, and waits for them. */
void pipeline_stop(struct pipeline *pipeline);

#endif
