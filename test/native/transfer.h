/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The source's pipeline and the target's loader at the two ends of a real TCP connection, with a
 * /dev/snapshot of the test's own on either side.
 */
#ifndef PMSM_TEST_TRANSFER_H
#define PMSM_TEST_TRANSFER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "source/image.h"
#include "source/precopy.h"
#include "target/load.h"
#include "test.h"

#define IMAGE_PAGES 1500
#define IMAGE_BYTES ((size_t)IMAGE_PAGES * PAGE_BYTES)
#define CHUNK_BYTES (64 * 1024)

/* A kernel that is not there. */
struct fake {
	uint8_t *image;
	size_t bytes;
	size_t at;
	size_t step;	/* most that one call moves: a page as a stock kernel, or more */
	size_t fail_at; /* offset at which it refuses; SIZE_MAX: never */
	int fail_errno;
	unsigned int pause_us; /* of each call */
	struct memory *memory; /* for what goes ahead of the image */
};

#define MEMORY_FRAMES 4000

/* A machine's page frames, and what of them has been given or taken. */
struct memory {
	uint8_t page[MEMORY_FRAMES][PAGE_BYTES];
	uint8_t given[MEMORY_FRAMES][PAGE_BYTES];
	bool known[MEMORY_FRAMES]; /* given, or loaded */
	int refuse_errno;
	bool compares_all;	 /* a kernel that cannot track */
	unsigned int walk_calls; /* that begin a round and give nothing, of one that can */
	unsigned int walked;
};

static ssize_t fake_move(struct fake *f, size_t bytes)
{
	size_t n = bytes < f->step ? bytes : f->step;

	if (f->pause_us)
		usleep(f->pause_us);
	if (f->at >= f->fail_at)
		return -f->fail_errno;
	return (ssize_t)(n < f->bytes - f->at ? n : f->bytes - f->at);
}

static ssize_t fake_read(struct snapshot_device *device, void *to, size_t bytes)
{
	struct fake *f = device->context;
	ssize_t n = fake_move(f, bytes);

	if (n > 0) {
		memcpy(to, f->image + f->at, (size_t)n);
		f->at += (size_t)n;
	}
	return n;
}

static ssize_t fake_write(struct snapshot_device *device, const void *from, size_t bytes)
{
	struct fake *f = device->context;
	ssize_t n = fake_move(f, bytes);

	if (n > 0) {
		memcpy(f->image + f->at, from, (size_t)n);
		f->at += (size_t)n;
	}
	return n;
}

static inline bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, PAGE_BYTES - 1) == 0;
}

static int fake_live_read(struct snapshot_device *device, struct pmsm_snapshot_live *io)
{
	struct memory *m = ((struct fake *)device->context)->memory;
	uint64_t *frames = (uint64_t *)(uintptr_t)io->frames;
	uint8_t *data = (uint8_t *)(uintptr_t)io->data;
	uint64_t pfn = io->next_pfn;

	if (m->refuse_errno)
		return -m->refuse_errno;
	if (io->flags & PMSM_SNAPSHOT_LIVE_TRACK) {
		if (m->compares_all)
			return -EINVAL;
		if (!pfn && m->walked++ < m->walk_calls)
			return 0;
		m->walked = 0;
	}
	for (; pfn < MEMORY_FRAMES; pfn++) {
		const uint8_t *page = m->page[pfn];
		bool changed = !m->known[pfn] || memcmp(page, m->given[pfn], PAGE_BYTES) != 0;
		bool zero = is_zero(page);

		if (changed || !(io->flags & PMSM_SNAPSHOT_LIVE_CHANGED)) {
			if (io->frames_nr == io->frames_max ||
			    (!zero && io->data_nr == io->data_max))
				break;
			frames[io->frames_nr++] = pfn | (zero ? PMSM_FRAME_ZERO : 0);
			if (!zero)
				memcpy(data + (size_t)io->data_nr++ * PAGE_BYTES, page, PAGE_BYTES);
			memcpy(m->given[pfn], page, PAGE_BYTES);
			m->known[pfn] = true;
		}
		io->saveable++;
		io->changed += changed;
	}
	io->next_pfn = pfn < MEMORY_FRAMES ? pfn : PMSM_SNAPSHOT_LIVE_END;
	return 0;
}

/* Takes at most 100 frames a call, as a kernel that was interrupted might. */
static int fake_preload(struct snapshot_device *device, struct pmsm_snapshot_preload *io)
{
	struct memory *m = ((struct fake *)device->context)->memory;
	const uint64_t *frames = (const uint64_t *)(uintptr_t)io->frames;
	const uint8_t *data = (const uint8_t *)(uintptr_t)io->data;
	uint32_t taken = 0, pages = 0;
	int error = -m->refuse_errno;

	while (!error && taken < io->frames_nr && taken < 100) {
		uint64_t pfn = frames[taken] & ~PMSM_FRAME_ZERO;
		bool zero = frames[taken] & PMSM_FRAME_ZERO;

		if (pfn >= MEMORY_FRAMES || (!zero && pages == io->data_nr)) {
			error = -EINVAL;
			break;
		}
		if (zero)
			memset(m->page[pfn], 0, PAGE_BYTES);
		else
			memcpy(m->page[pfn], data + (size_t)pages++ * PAGE_BYTES, PAGE_BYTES);
		m->known[pfn] = true;
		taken++;
	}
	io->frames_nr = taken;
	io->data_nr = pages;
	return error;
}

static const struct snapshot_operations fake_operations = {
    .read = fake_read, .write = fake_write, .live_read = fake_live_read, .preload = fake_preload};

static uint8_t *source_image, *target_image;

/* Like an image: a header that counts pages, a list of frames, content of which half repeats. */
static inline void make_image(void)
{
	struct image_header header = {.pages = IMAGE_PAGES, .image_pages = IMAGE_PAGES - 4};
	unsigned int seed = 99;

	source_image = malloc(IMAGE_BYTES);
	target_image = malloc(IMAGE_BYTES);
	for (size_t i = 0; i < IMAGE_BYTES; i++)
		source_image[i] = i / 50000 % 2 ? (uint8_t)rand_r(&seed) : (uint8_t)(i >> 10);
	memset(source_image, 0, PAGE_BYTES);
	memcpy(source_image, &header, sizeof(header));
	/* Three pages of list, the last one with ten frames. */
	memset(source_image + PAGE_BYTES, 1, 3 * PAGE_BYTES);
	memset(source_image + 3 * PAGE_BYTES + 80, 0xff, PAGE_BYTES - 80);
}

struct transfer {
	struct options options;
	struct pipeline pipeline;
	struct loader loader;
	struct link out, in, back;
	struct fake from, to;
	struct snapshot_device source, target;
	uint8_t buffers[2][PMSM_HEADER_BYTES + PMSM_LIMIT_CONTROL_PAYLOAD_BYTES];
};

static inline int tcp_pair(int *fds)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	socklen_t bytes = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(l, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(l, 1) < 0 ||
	    getsockname(l, (struct sockaddr *)&a, &bytes) < 0)
		return -errno;
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fds[0], (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	fds[1] = accept(l, NULL, NULL);
	close(l);
	return fds[1] < 0 ? -errno : 0;
}

static inline struct transfer *begin(unsigned int threads)
{
	struct transfer *t = calloc(1, sizeof(*t));
	int fds[2] = {-1, -1};

	t->options = (struct options){.chunk_bytes = CHUNK_BYTES, .threads = threads};
	t->from = (struct fake){source_image, IMAGE_BYTES, 0, SIZE_MAX, SIZE_MAX, 0, 0, NULL};
	t->to = (struct fake){target_image, IMAGE_BYTES, 0, SIZE_MAX, SIZE_MAX, 0, 0, NULL};
	t->source = (struct snapshot_device){.ops = &fake_operations, .context = &t->from};
	t->target = (struct snapshot_device){.ops = &fake_operations, .context = &t->to};
	memset(target_image, 0, IMAGE_BYTES);
	if (tcp_pair(fds) || pipeline_init(&t->pipeline, &t->options) ||
	    loader_init(&t->loader, threads) || loader_prepare(&t->loader, CHUNK_BYTES))
		abort();
	link_open(&t->out, fds[0], t->buffers[0], sizeof(t->buffers[0]),
		  PMSM_LIMIT_CONTROL_PAYLOAD_BYTES);
	link_open(&t->in, fds[1], t->buffers[1], sizeof(t->buffers[1]),
		  sizeof(struct pmsm_msg_chunk) + PMSM_LIMIT_CHUNK_BYTES);
	return t;
}

static inline void end(struct transfer *t)
{
	pipeline_stop(&t->pipeline);
	loader_stop(&t->loader);
	pipeline_destroy(&t->pipeline);
	loader_destroy(&t->loader);
	link_close(&t->out);
	link_close(&t->in);
	free(t);
}

static inline void run_loader(struct transfer *t, uint32_t silence_ms)
{
	if (loader_start(&t->loader, &t->in, &t->target, silence_ms))
		abort();
}

static inline void run_pipeline(struct transfer *t, const struct cargo *cargo, unsigned int codec)
{
	if (pipeline_start(&t->pipeline, cargo, codec_by_id(codec), &t->source, &t->out))
		abort();
}

/* Until the loader has finished or failed; false after 10 s. */
static inline bool wait_loader(struct transfer *t)
{
	uint64_t deadline = clock_deadline_ms(10000);

	while (!t->loader.finished && !t->loader.failed && clock_left_ms(deadline) > 0)
		clock_sleep_ms(2);
	return t->loader.finished || t->loader.failed;
}

#endif
