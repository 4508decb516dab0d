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

/*
 * What the image's helper does first on this machine (source/rehome.c), in the same order and under
 * a total drop: installs the quarantine, takes the migration MAC, an address, ends connections,
 * opens, removes. Met in the window, a NIC that does not take another MAC costs a fence. It is the
 * MAC that the device has, and an address of nobody, so that nothing stays changed. False if the
 * device does not take it; a kernel without nftables is none of its faults, since the quarantine
 * will be the image's.
 *
 * Done once, all that is also less of a first time: under emulation a path through the kernel takes
 * some times as long when it is walked first.
 */
bool rehearse_network(const char *interface);

/* As the facts have it; NULL: not tried. */
const char *rehearsal_name(enum rehearsal rehearsal);

#endif
