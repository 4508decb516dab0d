/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_OWNERSHIP_H
#define PMSM_OWNERSHIP_H

#include "common/json.h"
#include "common/sockets.h"

/*
 * Which machine owns the state that lies on a disk that several machines reach?
 *
 * A machine that is reset in the middle of an attempt boots again by itself, and must not mount a
 * disk that has another owner by then. So the disk itself says who that is, in a small partition of
 * its own, outside of all file systems: read in early boot before anything is mounted
 * (target/boot-guard.h), written by whoever runs.
 *
 *     OWNED   this machine, and nobody else, may boot from the disk
 *     MOVING  an attempt is under way, or was when its machine died: ask the orchestrator
 *
 * MOVING is there before the machine stands still, so whatever happens in the window is settled by
 * the records. OWNED follows when it is over: by the source that runs on, or by the target.
 *
 * Two slots are written in turn, each with a number and a digest, so that a write that is torn
 * leaves the one before. All I/O goes past the page cache: other machines write here, too.
 */
#define OWNERSHIP_PARTLABEL "pmsm-owner"
#define OWNERSHIP_BYTES	    8192 /* what the partition has to have */

enum ownership_state { OWNERSHIP_OWNED = 1, OWNERSHIP_MOVING = 2 };

struct ownership {
	uint32_t state;
	char machine[64];	      /* the owner; while it moves, the source */
	struct attempt_id id;	      /* of the attempt under way, or of the last one */
	struct endpoint orchestrator; /* who knows more, while it moves */
};

/*
 * Finds the device: a path, or PARTLABEL=NAME. 0, -ENOENT if there is none, -ENOTUNIQ if there are
 * two with that label (a clone of the disk, say), or -ENAMETOOLONG. `root` is / but for tests.
 */
int ownership_find(char *path, size_t capacity, const char *where, const char *root);

/* 0, -ENODATA if nobody has ever written here, -EBADMSG if no slot is whole, or -errno. */
int ownership_read(const char *path, struct ownership *ownership);

/* On the disk when it comes back with 0. */
int ownership_write(const char *path, const struct ownership *ownership);

void ownership_put(struct json *json, const struct ownership *ownership);

#endif
