// SPDX-License-Identifier: GPL-2.0-only
#include "source/image.h"

#include <errno.h>

#define LIST_ENTRIES_PER_PAGE (PAGE_BYTES / sizeof(uint64_t))

/*
 * The list of page frames tells how much memory was to be saved: pages that are all zero are in the
 * list but not in the image. A list of an image with frames left out is of another kind, and its
 * kernel tells (SNAPSHOT_DELTA).
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

static int fill(struct pipeline *p, struct chunk *chunk)
{
	ssize_t n = read_chunk(p, chunk_raw(chunk));

	if (n <= 0)
		return (int)n;
	look_at_list(p, chunk_raw(chunk), p->image_offset, (size_t)n);
	chunk->place = p->image_offset;
	chunk->raw_bytes = (uint32_t)n;
	p->image_offset += (uint64_t)n;
	return 1;
}

static int finish(struct pipeline *p, uint64_t deadline)
{
	struct pmsm_msg_end end = {
	    .chunks = p->chunks, .raw_bytes = p->image_bytes, .chain = p->chain};

	return link_send(p->stream, PMSM_MSG_END, &end, NULL, 0, deadline);
}

const struct cargo image_cargo = {.message = PMSM_MSG_CHUNK,
				  .fill = fill,
				  .finish = finish,
				  .timeout_ms = PMSM_PHASE_TIMEOUT_MS_SEND};
