/* SPDX-License-Identifier: GPL-2.0-only */
/* The disk of delta-test as a log: records of frames as they were read, then the image. */
#ifndef SNAPSHOT_DELTA_LOG_H
#define SNAPSHOT_DELTA_LOG_H

#include "harness.h"

#define MAGIC		0x41544c4544504d53ULL

enum record_type { RECORD_FRAMES, RECORD_IMAGE };

/* One page on the disk; what it announces follows, in whole pages. */
struct record {
	uint64_t magic, type, frames_nr, data_nr, bytes;
	uint8_t pad[PAGE - 40];
};

static uint64_t *frames;	/* BATCH_FRAMES */
static char *data;		/* DATA_BYTES */
static struct record *record;
static off_t position;		/* on the disk */
static int disk;

static size_t whole_pages(size_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE;
}

static void put(const void *from, size_t size)
{
	if (pwrite(disk, from, size, position) != (ssize_t)size)
		fatal("write " DISK);
	position += (off_t)size;
}

static void get(void *to, size_t size)
{
	if (pread(disk, to, size, position) != (ssize_t)size)
		fatal("read " DISK);
	position += (off_t)size;
}

static void put_record(enum record_type type, uint64_t frames_nr, uint64_t data_nr,
		       uint64_t bytes)
{
	*record = (struct record) { .magic = MAGIC, .type = type, .frames_nr = frames_nr,
				    .data_nr = data_nr, .bytes = bytes };
	put(record, PAGE);
}

#endif
