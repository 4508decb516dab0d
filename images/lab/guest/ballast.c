// SPDX-License-Identifier: GPL-2.0-only
/*
 * ballast: holds memory, and writes a part of it anew at a steady rate, for the bench.
 *
 *     ballast HELD_MIB CHANGING_MIB MIB_PER_S
 *
 * Every page is filled with words that do not compress and that follow from its place and from how
 * often it was written, so that it is known what each must hold. A page is checked before it is
 * written again, and SIGTERM checks all of them: one wrong word, and the exit is 1. The parent ends
 * when the memory is filled (Type=forking).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES    4096u
#define PAGE_WORDS    (PAGE_BYTES / sizeof(uint64_t))
#define PAGES_PER_MIB 256u
#define MIB_MAX	      (1u << 20)
#define NS_PER_S      1000000000ull
/* Written at once between two rests: at 100 MiB/s a rest is 2.5 ms. */
#define BATCH_PAGES 64u

struct ballast {
	uint64_t *memory;
	uint64_t pages, changing;
	uint64_t written; /* of the changing pages, in turn, since all were filled */
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "ballast: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t mixed(uint64_t word)
{
	word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9u;
	word = (word ^ word >> 27) * 0x94d049bb133111ebu;
	return word ^ word >> 31;
}

static uint64_t word_of(uint64_t page, uint64_t pass, uint64_t index)
{
	return mixed((pass << 40 | page << 10 | index) + 1);
}

static void write_page(const struct ballast *b, uint64_t page, uint64_t pass)
{
	uint64_t *words = b->memory + page * PAGE_WORDS;

	for (uint64_t i = 0; i < PAGE_WORDS; i++)
		words[i] = word_of(page, pass, i);
}

static void check_page(const struct ballast *b, uint64_t page, uint64_t pass)
{
	const uint64_t *words = b->memory + page * PAGE_WORDS;

	for (uint64_t i = 0; i < PAGE_WORDS; i++) {
		if (words[i] == word_of(page, pass, i))
			continue;
		fprintf(stderr, "ballast: page %llu, word %llu is not of pass %llu\n",
			(unsigned long long)page, (unsigned long long)i, (unsigned long long)pass);
		exit(1);
	}
}

/* How often a page has been written since it was filled. */
static uint64_t pass_of(const struct ballast *b, uint64_t page)
{
	if (page >= b->changing)
		return 0;
	return b->written / b->changing + (page < b->written % b->changing);
}

static void change_batch(struct ballast *b)
{
	for (unsigned int i = 0; i < BATCH_PAGES; i++, b->written++) {
		uint64_t page = b->written % b->changing, pass = b->written / b->changing;

		check_page(b, page, pass);
		write_page(b, page, pass + 1);
	}
}

/*
 * Time that was lost is not made up for: a machine that stood still, or had better things to do,
 * would change all the faster after it.
 */
static void change(struct ballast *b, uint64_t mib_per_s, const sigset_t *end)
{
	const uint64_t ns = NS_PER_S * BATCH_PAGES / (mib_per_s * PAGES_PER_MIB);
	const struct timespec rest = {.tv_sec = (time_t)(ns / NS_PER_S),
				      .tv_nsec = (long)(ns % NS_PER_S)};

	do {
		change_batch(b);
	} while (sigtimedwait(end, NULL, &rest) < 0);
}

static void hold(struct ballast *b, uint64_t mib_per_s, int ready, const sigset_t *end)
{
	/* As large as it is asked for; a page that was never written would be none. */
	b->memory = mmap(NULL, b->pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b->memory == MAP_FAILED)
		fail("mmap");
	for (uint64_t page = 0; page < b->pages; page++)
		write_page(b, page, 0);
	if (write(ready, "", 1) != 1)
		fail("the parent");
	close(ready);
	if (mib_per_s > 0)
		change(b, mib_per_s, end);
	else
		while (sigwaitinfo(end, NULL) < 0)
			;
	for (uint64_t page = 0; page < b->pages; page++)
		check_page(b, page, pass_of(b, page));
}

static uint64_t number(const char *text)
{
	char *rest;
	unsigned long value = strtoul(text, &rest, 10);

	if (*text < '0' || *text > '9' || *rest != '\0' || value > MIB_MAX) {
		fprintf(stderr, "ballast: %s is no number up to %u\n", text, MIB_MAX);
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	struct ballast b = {0};
	uint64_t mib_per_s;
	sigset_t end;
	int ready[2];
	char byte;

	if (argc != 4) {
		fprintf(stderr, "usage: ballast HELD_MIB CHANGING_MIB MIB_PER_S\n");
		return 2;
	}
	b.pages = number(argv[1]) * PAGES_PER_MIB;
	b.changing = number(argv[2]) * PAGES_PER_MIB;
	mib_per_s = number(argv[3]);
	if (b.pages == 0 || b.changing > b.pages || (mib_per_s > 0 && b.changing == 0)) {
		fprintf(stderr, "ballast: what changes is a part of what is held\n");
		return 2;
	}
	/* It is waited for; one that comes before that waits for us. */
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	if (pipe(ready) < 0)
		fail("pipe");
	switch (fork()) {
	case -1:
		fail("fork");
	case 0:
		close(ready[0]);
		hold(&b, mib_per_s, ready[1], &end);
		return 0;
	default:
		close(ready[1]);
		return read(ready[0], &byte, 1) == 1 ? 0 : 1;
	}
}
