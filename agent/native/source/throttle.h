/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_THROTTLE_H
#define PMSM_THROTTLE_H

#include "source/settings.h"

#define THROTTLE_ROOT	    "/sys/fs/cgroup"
#define THROTTLE_GROUPS_MAX 256

/*
 * Slows down what changes memory faster than it can be sent. Nobody counts who writes to which
 * page, but who writes much needs the processor: of all services and sessions (control groups,
 * version 2) the one that used it most during a round may use a quarter as much in the next one.
 *
 * It ends when the window begins, not after it: a process without processor time left for this
 * period cannot freeze before the next one.
 */
struct throttle {
	const char *root;
	struct settings *settings;
	char own[SETTING_PATH_BYTES]; /* group of this process: never slowed */
	uint64_t since_ns;
	unsigned int steps;
	size_t count;
	struct throttle_group {
		char path[SETTING_PATH_BYTES];
		uint64_t used_us;
	} groups[THROTTLE_GROUPS_MAX];
};

void throttle_begin(struct throttle *t, const char *root, struct settings *settings);
/* Remembers what every group has used so far. */
void throttle_look(struct throttle *t);
/* Slows the one that has used most since. False if there is none worth it, or it cannot be done. */
bool throttle_step(struct throttle *t);
void throttle_end(struct throttle *t);

#endif
