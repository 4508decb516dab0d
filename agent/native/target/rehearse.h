/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_REHEARSE_H
#define PMSM_REHEARSE_H

#include "common/snapshot.h"

enum rehearsal {
	REHEARSAL_NOT_TRIED, /* this kernel cannot, or has no memory for it */
	REHEARSAL_HELD,
	REHEARSAL_FAILED,
};

/*
 * Stops and starts this machine's processors and devices once, as the jump will. A standby does it
 * before it offers itself, so that a driver that refuses, or a machine that does not come back from
 * it, is met when nobody waits for it and not in the window, after the commit. There is no test of
 * its own in the kernel for that on all kernels (pm_test= wants CONFIG_PM_DEBUG), but a snapshot
 * that is thrown away does the same; of a standby it is small.
 *
 * What it costs: some 0.3 s when the standby starts, and links that have to be negotiated again.
 * What it does not show: the drivers' `restore` where it differs from `thaw`.
 *
 * Disks are left as they were: their caches are written through by then (settle_disks()), and
 * nothing is mounted.
 */
enum rehearsal rehearse(struct snapshot_device *snapshot);

/* As the facts have it; NULL: not tried. */
const char *rehearsal_name(enum rehearsal rehearsal);

#endif
