/* SPDX-License-Identifier: GPL-2.0-only */
/* A few lines of TAP: CHECK() counts and reports, test_end() prints the plan. */
#ifndef PMSM_TEST_H
#define PMSM_TEST_H

#include <stdio.h>
#include <stdlib.h>

static int test_count, test_failures;

#define CHECK(condition, ...)                                                                      \
	do {                                                                                       \
		int test_ok = !!(condition);                                                       \
		printf("%s %d - ", test_ok ? "ok" : "not ok", ++test_count);                       \
		printf(__VA_ARGS__);                                                               \
		printf("\n");                                                                      \
		if (!test_ok) {                                                                    \
			printf("#   %s:%d: %s\n", __FILE__, __LINE__, #condition);                 \
			test_failures++;                                                           \
		}                                                                                  \
		fflush(stdout);                                                                    \
	} while (0)

#define SKIP(reason)                                                                               \
	do {                                                                                       \
		printf("ok %d - # SKIP %s\n", ++test_count, reason);                               \
		fflush(stdout);                                                                    \
	} while (0)

static inline int test_end(void)
{
	printf("1..%d\n", test_count);
	return test_failures ? 1 : 0;
}

#endif
