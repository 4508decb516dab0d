/* SPDX-License-Identifier: GPL-2.0-only */
/* What the processes of delta-test write, and pages that weak digests take for equal. */
#ifndef SNAPSHOT_DELTA_WORK_H
#define SNAPSHOT_DELTA_WORK_H

#include "harness.h"

#define WORK_PAGES	8192UL

/*
 * The source's processes: each writes whole pages that say which page and which
 * version they are, so that a page that was forgotten shows.
 */
struct work {
	volatile uint64_t stop, stopped, rounds;
	uint64_t version[WORK_PAGES];
	uint64_t content[WORK_PAGES][PAGE / sizeof(uint64_t)];
};

static uint64_t word(uint64_t page, uint64_t version, uint64_t i)
{
	uint64_t x = (page * 0x9e3779b97f4a7c15ULL) ^ (version << 20) ^ i;

	/* Every fourth page becomes zero with every second version. */
	if (page % 4 == 0 && version % 2 == 0)
		return 0;
	return (x ^ (x >> 31)) * 0xbf58476d1ce4e5b9ULL;
}

static void write_page(struct work *w, uint64_t page, uint64_t version)
{
	w->version[page] = version;
	for (uint64_t i = 0; i < PAGE / sizeof(uint64_t); i++)
		w->content[page][i] = word(page, version, i);
}

static long wrong_pages(const struct work *w)
{
	long wrong = 0;

	for (uint64_t page = 0; page < WORK_PAGES; page++)
		for (uint64_t i = 0; i < PAGE / sizeof(uint64_t); i++)
			if (w->content[page][i] != word(page, w->version[page], i)) {
				wrong++;
				break;
			}
	return wrong;
}

/* @fd: of /dev/snapshot, which must be closed for good when its owner closes it. */
static void start_writer(struct work *w, unsigned int seed, int fd)
{
	if (fork())
		return;
	close(fd);
	srand(seed);
	while (!w->stop) {
		uint64_t page = (uint64_t)rand() % 64 + (w->rounds / 64) % (WORK_PAGES - 64);

		write_page(w, page, w->version[page] + 1);
		w->rounds++;
		usleep(500);
	}
	w->stopped = 1;
	for (;;)
		pause();
}

/*
 * Pairs of pages that well-known fast digests take for the same: a sum, an XOR, a
 * sum of products with positions, and a multiply-xor-shift chain of four lanes whose
 * steps can be turned back.
 */
static uint64_t lane(uint64_t h, uint64_t w)
{
	h = (h ^ w) * 0x9e3779b97f4a7c15ULL;
	return h ^ (h >> 29);
}

static void collide(uint64_t *page, unsigned int kind)
{
	uint64_t before, after;

	switch (kind) {
	case 0: /* order does not count */
		before = page[0];
		page[0] = page[8];
		page[8] = before;
		break;
	case 1: /* adding and taking away */
		page[3]++;
		page[7]--;
		break;
	case 2: /* sum of i * word: twice the middle against both ends */
		page[4] += 1;
		page[5] -= 2;
		page[6] += 1;
		break;
	default: /* what the first word changes in its lane, the next one takes back */
		before = lane(1, page[0]);
		page[0] ^= 0x1234567;
		after = lane(1, page[0]);
		page[4] ^= before ^ after;
		break;
	}
}

#endif
