/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_IMAGE_H
#define PMSM_IMAGE_H

#include "common/codec.h"
#include "common/link.h"
#include "common/ring.h"
#include "common/snapshot.h"
#include "source/options.h"

/*
 * The image's way out: one thread reads /dev/snapshot, several compress and digest, one sends in
 * order. No stage waits for the end of another; the ring between them bounds the memory.
 *
 * The threads are made after the snapshot, so they are not in the image, and inherit from the main
 * thread that they are not frozen. They must have ended before anything is thawed.
 */
#define PIPELINE_LINK_WAIT_MS 1500
#define PIPELINE_SLOTS	      32
#define PIPELINE_STACK_BYTES  (256 * 1024)
#define PIPELINE_THREADS_MAX  (COMPRESSORS_MAX + 2)

struct pipeline {
	struct ring ring;
	struct codec_context contexts[COMPRESSORS_MAX];
	uint8_t *stacks;
	pthread_t threads[PIPELINE_THREADS_MAX];
	size_t threads_running;
	unsigned int compressors;
	size_t read_bytes; /* asked of the kernel in one call */

	const struct codec *codec;
	struct snapshot_device *snapshot;
	struct link *stream;
	int wake_fd;	       /* eventfd: something ended or failed */
	const char *interface; /* the sender waits until it has a link; NULL: does not */
	bool stall_for_test;
	_Atomic unsigned int next_context; /* each compressor takes one */

	_Atomic uint64_t moved; /* bytes that the socket took */
	_Atomic bool sent_all;
	_Atomic int error;	   /* -errno of the first failure */
	_Atomic int error_is_read; /* it was the kernel that refused */

	/* processor time of the stages, for the log */
	_Atomic uint64_t read_ns;
	_Atomic uint64_t pack_ns;
	_Atomic uint64_t send_ns;

	/* valid when sent_all */
	uint64_t image_bytes;
	uint64_t chunks;
	uint64_t chain;
	uint64_t saveable_bytes;
	uint64_t list_pages; /* length of the image's list of page frames */
};

int pipeline_init(struct pipeline *pipeline, const struct options *options);
void pipeline_destroy(struct pipeline *pipeline);

int pipeline_start(struct pipeline *pipeline, const struct codec *codec,
		   struct snapshot_device *snapshot, struct link *stream);

/* Ends all threads, whatever they are doing, and waits for them. */
void pipeline_stop(struct pipeline *pipeline);

#endif
