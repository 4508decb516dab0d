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

/*
 * Memory ahead of the image: kernel-patches/abi/live-read.rst, delta.rst and preload.rst have the
 * meaning of every field. An unpatched kernel answers ENOTTY to each.
 */
struct pmsm_snapshot_live {
	__u32 size;
	__u32 flags;
	__u64 next_pfn;
	__u64 frames;
	__u64 data;
	__u32 frames_max;
	__u32 data_max;
	__u32 frames_nr;
	__u32 data_nr;
	__u64 saveable;
	__u64 changed;
};
_Static_assert(sizeof(struct pmsm_snapshot_live) == 64, "size of struct snapshot_live");

#define PMSM_SNAPSHOT_LIVE_CHANGED (1u << 0) /* leaves out what is as it was given */
#define PMSM_SNAPSHOT_LIVE_TRACK   (1u << 2) /* does not look at what nobody has written to */
#define PMSM_SNAPSHOT_LIVE_SPLIT   (1u << 3) /* with it: tells apart the pages of a huge one */
#define PMSM_SNAPSHOT_LIVE_END	   UINT64_MAX
#define PMSM_FRAME_ZERO		   (UINT64_C(1) << 63) /* in a list of frames */
#define PMSM_SNAPSHOT_LIVE_BEGIN   _IO('3', 22)
#define PMSM_SNAPSHOT_LIVE_READ	   _IOWR('3', 23, struct pmsm_snapshot_live)

struct pmsm_snapshot_delta {
	__u32 size;
	__u32 flags;
	__u64 copies_max;
	__u64 saveable;
	__u64 zero;
	__u64 same;
	__u64 copied;
	__u64 missing;
	__u64 unseen;
	__u64 sealed;
	__u32 format;
	__u32 reserved;
	__u64 tracked;
};
_Static_assert(sizeof(struct pmsm_snapshot_delta) == 88, "size of struct snapshot_delta");

#define PMSM_SNAPSHOT_DELTA_ARM (1u << 0)
#define PMSM_SNAPSHOT_DELTA	_IOWR('3', 24, struct pmsm_snapshot_delta)

struct pmsm_snapshot_preload_begin {
	__u32 size;
	__u32 flags;
	__u64 reserve_pages;
	__u64 owned_pages;
	__u32 format;
	__u32 reserved;
	__u64 occupied_pfn;
	__u64 occupied_end_pfn;
};
_Static_assert(sizeof(struct pmsm_snapshot_preload_begin) == 48, "size of the kernel's struct");

struct pmsm_snapshot_preload {
	__u32 size;
	__u32 flags;
	__u64 frames;
	__u64 data;
	__u32 frames_nr;
	__u32 data_nr;
};
_Static_assert(sizeof(struct pmsm_snapshot_preload) == 32, "size of struct snapshot_preload");

#define PMSM_SNAPSHOT_PRELOAD_BEGIN _IOWR('3', 25, struct pmsm_snapshot_preload_begin)
#define PMSM_SNAPSHOT_PRELOAD	    _IOWR('3', 26, struct pmsm_snapshot_preload)

/* See kernel-patches/abi/vacate.rst. */
struct pmsm_snapshot_vacate {
	__u32 size;
	__u32 flags;
	__u64 next_pfn;
	__u64 end_pfn;
	__u64 vacated_pages;
};
_Static_assert(sizeof(struct pmsm_snapshot_vacate) == 32, "size of struct snapshot_vacate");

#define PMSM_SNAPSHOT_VACATE _IOWR('3', 28, struct pmsm_snapshot_vacate)

/* See kernel-patches/abi/hold.rst. */
#define PMSM_SNAPSHOT_LEASE _IO('3', 29)
#define PMSM_SNAPSHOT_HOLD  _IO('3', 30)

/* Only a kernel for tests has this: CONFIG_HIBERNATION_CHECK. See kernel-patches/abi/check.rst. */
#define PMSM_SNAPSHOT_CHECK_STACK 8
#define PMSM_SNAPSHOT_CHECK_CPUS  8

struct pmsm_snapshot_check {
	__u32 size;
	__u32 flags;
	__u64 first_pfn;
	__u64 digests;
	__u32 digests_nr;
	__u32 reserved;
	__u64 frames;
	__u64 stack[PMSM_SNAPSHOT_CHECK_STACK];
	__u64 percpu_nr;
	__u64 percpu_pfn[PMSM_SNAPSHOT_CHECK_CPUS];
};
_Static_assert(sizeof(struct pmsm_snapshot_check) == 176, "size of struct snapshot_check");

#define PMSM_SNAPSHOT_CHECK_BEGIN (1u << 0)
#define PMSM_SNAPSHOT_CHECK	  _IOWR('3', 27, struct pmsm_snapshot_check)

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
