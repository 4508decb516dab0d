/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_CODEC_H
#define PMSM_CODEC_H

#include "common/base.h"

/*
 * How chunks are stored. A context holds all the memory that a codec needs, so that nothing is
 * allocated in the frozen window; each thread has its own.
 */
struct codec_context {
	void *memory;
	size_t memory_bytes;
	void *lz4;
	void *zstd_compress;
	void *zstd_decompress;
};

struct codec {
	enum pmsm_codec id;
	const char *name;
	/* Stored size; 0 if it would not become smaller than `capacity`. */
	size_t (*compress)(struct codec_context *context, uint8_t *to, size_t capacity,
			   const uint8_t *from, size_t bytes);
	/* Whether `from` became exactly `bytes` bytes. */
	bool (*decompress)(struct codec_context *context, uint8_t *to, size_t bytes,
			   const uint8_t *from, size_t stored);
};

const struct codec *codec_by_id(unsigned int id);
const struct codec *codec_by_name(const char *name);
int codec_context_init(struct codec_context *context);
void codec_context_destroy(struct codec_context *context);

#endif
