/* SPDX-License-Identifier: GPL-2.0-only */
/* Small things that every file of the helpers uses. */
#ifndef PMSM_BASE_H
#define PMSM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wire/wire.gen.h"

#define ARRAY_SIZE(a)	  (sizeof(a) / sizeof((a)[0]))
#define PAGE_BYTES	  4096u
#define NS_PER_MS	  UINT64_C(1000000)
#define NS_PER_S	  UINT64_C(1000000000)
#define ATTEMPT_BYTES	  16
#define MAC_BYTES	  6
#define INTERFACE_BYTES	  16 /* IFNAMSIZ */
#define MIGRATION_MARK	  0x504d534du
#define MIGRATION_DEVICES 16 /* the migration interface and what lies below it */

#define HELPER_VERSION "0.1.0"

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Copies text, cuts it to fit, always ends it. */
static inline void copy_text(char *to, size_t capacity, const char *from)
{
	size_t n = strlen(from);

	if (n >= capacity)
		n = capacity - 1;
	memcpy(to, from, n);
	to[n] = '\0';
}

/* Who is meant: every order of an attempt names both, and a message with another pair is refused.
 */
struct attempt_id {
	uint8_t attempt[ATTEMPT_BYTES];
	uint64_t generation;
};

static inline bool attempt_same(const struct attempt_id *a, const uint8_t *attempt,
				uint64_t generation)
{
	return a->generation == generation && memcmp(a->attempt, attempt, ATTEMPT_BYTES) == 0;
}

/* Why something failed: catalogue code, phase, errno, and a text for people. */
struct failure {
	uint16_t code;
	uint16_t phase;
	int system_errno;
	char detail[256];
};

__attribute__((format(printf, 4, 5))) int failure_set(struct failure *failure, uint16_t code,
						      int system_errno, const char *format, ...);

#endif
