/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_RAW_WRITERS_H
#define PMSM_RAW_WRITERS_H

#include "common/base.h"

/*
 * A process may write to a disk without a file system: a database on a raw device, say. Frozen, it
 * writes no more, but the kernel still does: what it has written is in the page cache, and the
 * threads that bring it to the disk do not freeze (mm/backing-dev.c: the workqueue "writeback").
 * From the snapshot on that would change a disk that another machine takes over. So it is brought
 * there before, when processes and file systems stand still and nothing can follow.
 *
 * Whether there is anything costs one look at the kernel's counters of pages that are dirty or on
 * their way: frozen file systems have none. Only if there is, every block device is written back,
 * whose flush of the disk's own cache costs what a file system's does. Devices in files are left
 * out, since their file systems are frozen by then; if there remains anything, the attempt ends.
 */

/* Nonzero with *failure: something could still change a disk. */
int raw_writers_settle(struct failure *failure);

/* Pages that are to be written, by the text of /proc/vmstat; ~0 if it does not say. For the test.
 */
uint64_t raw_writers_pages(const char *vmstat);

#endif
