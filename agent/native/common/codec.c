// SPDX-License-Identifier: GPL-2.0-only
#define ZSTD_STATIC_LINKING_ONLY
#include "common/codec.h"

#include <errno.h>
#include <lz4.h>
#include <sys/mman.h>
#include <zstd.h>

#define ZSTD_LEVEL	 1
#define LZ4_ACCELERATION 4

static size_t none_compress(struct codec_context *context, uint8_t *to, size_t capacity,
			    const uint8_t *from, size_t bytes)
{
	(void)context, (void)to, (void)capacity, (void)from, (void)bytes;
	return 0;
}

static bool none_decompress(struct codec_context *context, uint8_t *to, size_t bytes,
			    const uint8_t *from, size_t stored)
{
	(void)context;
	if (stored != bytes)
		return false;
	memcpy(to, from, bytes);
	return true;
}

static size_t lz4_compress(struct codec_context *context, uint8_t *to, size_t capacity,
			   const uint8_t *from, size_t bytes)
{
	int n = LZ4_compress_fast_extState(context->lz4, (const char *)from, (char *)to, (int)bytes,
					   (int)capacity, LZ4_ACCELERATION);

	return n > 0 ? (size_t)n : 0;
}

static bool lz4_decompress(struct codec_context *context, uint8_t *to, size_t bytes,
			   const uint8_t *from, size_t stored)
{
	(void)context;
	return LZ4_decompress_safe((const char *)from, (char *)to, (int)stored, (int)bytes) ==
	       (int)bytes;
}

static size_t zstd_compress(struct codec_context *context, uint8_t *to, size_t capacity,
			    const uint8_t *from, size_t bytes)
{
	size_t n = ZSTD_compressCCtx(context->zstd_compress, to, capacity, from, bytes, ZSTD_LEVEL);

	return ZSTD_isError(n) ? 0 : n;
}

static bool zstd_decompress(struct codec_context *context, uint8_t *to, size_t bytes,
			    const uint8_t *from, size_t stored)
{
	size_t n = ZSTD_decompressDCtx(context->zstd_decompress, to, bytes, from, stored);

	return !ZSTD_isError(n) && n == bytes;
}

static const struct codec codecs[] = {
    {PMSM_CODEC_NONE, "none", none_compress, none_decompress},
    {PMSM_CODEC_LZ4, "lz4", lz4_compress, lz4_decompress},
    {PMSM_CODEC_ZSTD, "zstd", zstd_compress, zstd_decompress},
};

const struct codec *codec_by_id(unsigned int id)
{
	for (size_t i = 0; i < ARRAY_SIZE(codecs); i++)
		if (codecs[i].id == id)
			return &codecs[i];
	return NULL;
}

const struct codec *codec_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(codecs); i++)
		if (strcmp(codecs[i].name, name) == 0)
			return &codecs[i];
	return NULL;
}

static size_t round_up(size_t bytes)
{
	return (bytes + 4095) / 4096 * 4096;
}

/*
 * The table sizes of a level depend on the size of the input, and not always so that a smaller
 * input needs less: the estimate for inputs of unknown size is too small for some of known size.
 */
static size_t zstd_workspace_bytes(void)
{
	size_t most = ZSTD_estimateCCtxSize(ZSTD_LEVEL);

	for (size_t bytes = PAGE_BYTES; bytes <= PMSM_LIMIT_CHUNK_BYTES; bytes *= 2) {
		ZSTD_compressionParameters p = ZSTD_getCParams(ZSTD_LEVEL, bytes, 0);
		size_t n = ZSTD_estimateCCtxSize_usingCParams(p);

		if (n > most)
			most = n;
	}
	return most;
}

int codec_context_init(struct codec_context *context)
{
	size_t lz4_bytes = round_up((size_t)LZ4_sizeofState());
	size_t compress_bytes = round_up(zstd_workspace_bytes());
	size_t decompress_bytes = round_up(ZSTD_estimateDCtxSize());
	uint8_t *at;

	context->memory_bytes = lz4_bytes + compress_bytes + decompress_bytes;
	at = mmap(NULL, context->memory_bytes, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (at == MAP_FAILED) {
		context->memory = NULL;
		return -errno;
	}
	madvise(at, context->memory_bytes, MADV_DONTFORK); /* as that of the ring */
	context->memory = at;
	context->lz4 = at;
	context->zstd_compress = ZSTD_initStaticCCtx(at + lz4_bytes, compress_bytes);
	context->zstd_decompress =
	    ZSTD_initStaticDCtx(at + lz4_bytes + compress_bytes, decompress_bytes);
	if (context->zstd_compress && context->zstd_decompress)
		return 0;
	codec_context_destroy(context);
	return -ENOMEM;
}

void codec_context_destroy(struct codec_context *context)
{
	if (context->memory)
		munmap(context->memory, context->memory_bytes);
	context->memory = NULL;
}
