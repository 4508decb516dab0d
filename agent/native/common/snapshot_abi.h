/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's interface that the helpers use, beside <linux/suspend_ioctls.h>: what our patches
 * add, and the two pieces of the image that the helpers look at.
 */
#ifndef PMSM_SNAPSHOT_ABI_H
#define PMSM_SNAPSHOT_ABI_H

#include <linux/suspend_ioctls.h>
#include <linux/types.h>
#include "common/base.h"

/* Phase stamps; an unpatched kernel answers ENOTTY. */
struct pmsm_snapshot_phases {
	__u32 size;
	__u32 flags;
	__u32 cycles_khz;
	__u32 count;
	__u64 cycles[PMSM_LIMIT_PHASE_SLOTS];
};
_Static_assert(sizeof(struct pmsm_snapshot_phases) == 16 + 8 * PMSM_LIMIT_PHASE_SLOTS,
	       "size of the kernel's struct snapshot_phases");

#define PMSM_SNAPSHOT_GET_PHASES _IOWR('3', 21, struct pmsm_snapshot_phases)

/* First page of an image, kernel/power/power.h: struct swsusp_info. */
struct image_header {
	char uts[6][65]; /* struct new_utsname; x86 writes its restore record over it */
	__u32 version_code;
	__u64 physical_pages;
	__s32 cpus;
	__u64 image_pages; /* pages whose content is in the image */
	__u64 pages;	   /* all of the image: header, list of frames, content */
	__u64 bytes;
};
_Static_assert(offsetof(struct image_header, version_code) == 392, "as the kernel lays it out");
_Static_assert(offsetof(struct image_header, image_pages) == 416, "as the kernel lays it out");

/* Ends the list of page frames, which follows the header with 512 numbers a page. */
#define IMAGE_LIST_END UINT64_MAX

#endif
