/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_VACATE_H
#define PMSM_VACATE_H

#include "common/snapshot.h"

/*
 * THEORY: room for the standby.
 *
 * A standby lies somewhere in memory, and what the image has in the same place cannot be put there
 * before the standby has come to its end: it is copied in the jump, page by page, while no machine
 * runs. A standby whose kernel keeps to a part of memory (hibernate_loader=) says where that
 * is. So while the source still works, it moves what it can out of there, and leaves these frames
 * out of the image. They are its own again after the move, or when it was given up.
 *
 * That costs a part of its free memory for the time of the move, and is left alone if it is not
 * plain that there is enough. Nothing depends on it but how long the jump takes, so it is done for
 * half of the time and with the least right to a processor: else a client waits for 0.5 s longer.
 */

/*
 * Vacates frames from `begin_pfn` on and before `end_pfn`, until the deadline. None, or where it
 * would be a large part of memory: leaves all as it is.
 */
void vacate_frames(struct snapshot_device *device, uint64_t begin_pfn, uint64_t end_pfn,
		   uint64_t deadline_ns);

/* Whether a standby of this size is worth it; a part of memory this small can be spared. */
bool vacate_is_wise(uint64_t occupied_bytes, uint64_t total_bytes, uint64_t available_bytes);

#endif
