/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_FACTS_H
#define PMSM_FACTS_H

#include "common/base.h"

/* The machine described as one JSON document, for the preflight. */

/* What only the program knows that tells the facts. */
struct facts_context {
	bool probe; /* opens /dev/snapshot for a moment, and tries the quarantine's rules */
	const char *rehearsal; /* of a standby: how it ended (target/rehearse.h); NULL: unknown */
};

/* Writes it; its size, or 0 if it does not fit. */
size_t facts_write(char *text, size_t capacity, const struct facts_context *context);

/* Prints it on stdout; an exit code. */
int facts_print(bool probe);

/* RAM that may hold a machine, and of it what this kernel uses itself. */
uint64_t facts_total_bytes(void);
uint64_t facts_own_bytes(void);
uint64_t facts_used_bytes(void);
/* The colder half of the page cache. */
uint64_t facts_cold_cache_bytes(void);
uint64_t facts_available_bytes(void);

/* The process that traces this one (ptrace(2)), 0: nobody. */
int facts_tracer(void);

#endif
