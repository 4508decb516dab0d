/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_WATCH_H
#define PMSM_WATCH_H

#include "source/attempt.h"

/*
 * What the main thread does while others send: it hears what orchestrator and target have to say,
 * and notices when nothing moves any more. Each returns nonzero when the attempt has failed;
 * a->failure says why.
 */

/*
 * Waits a moment for something to happen, and takes what both links say. *commit: the order came;
 * NULL where it may not come.
 */
int watch_links(struct attempt *a, bool *commit);

/* The target gave the attempt up: with its words. */
int take_target_error(struct attempt *a, const struct frame *frame);

int check_pipeline(struct attempt *a);

/* Movement is a byte that the socket took, or one that the target says it has loaded. */
struct movement {
	uint64_t sent, loaded, since_ns;
};

int check_stall(struct attempt *a, struct movement *last);

#endif
