/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_SNAPSHOT_H
#define PMSM_SNAPSHOT_H

#include <sys/types.h>

#include "common/snapshot_abi.h"

/*
 * /dev/snapshot behind a table, so that everything above it is tested against a device of the
 * tests' own. Answers: 0 (or a count of bytes), or -errno.
 *
 * Two properties of the real device shape everything that uses it:
 *  - freeze() marks only the calling thread as one that is not frozen. Threads made afterwards
 *    inherit the mark and must have ended before anything thaws.
 *  - Closing it, also by the end of the process, frees the image and thaws all processes.
 */
struct snapshot_device;

enum snapshot_mode {
	SNAPSHOT_MODE_SAVE,
	SNAPSHOT_MODE_LIVE, /* like SAVE, but hibernation's notifiers wait for freeze() */
	SNAPSHOT_MODE_LOAD,
};

struct snapshot_operations {
	int (*open)(struct snapshot_device *device, enum snapshot_mode mode);
	int (*freeze)(struct snapshot_device *device);
	/* *in_suspend: 1 on the machine that took the snapshot, 0 on the one that woke from it. */
	int (*create)(struct snapshot_device *device, int *in_suspend);
	ssize_t (*read)(struct snapshot_device *device, void *to, size_t bytes);
	ssize_t (*write)(struct snapshot_device *device, const void *from, size_t bytes);
	int (*restore)(struct snapshot_device *device); /* returns only if it failed */
	/*
	 * Frees the image and thaws kernel threads, before file systems are thawed: a loop device
	 * or a journal may need them to write. Processes stay frozen.
	 */
	int (*free_image)(struct snapshot_device *device);
	int (*thaw)(struct snapshot_device *device); /* processes; nothing while an image is held */
	int (*phases)(struct snapshot_device *device, struct pmsm_snapshot_phases *phases);
	/* Memory ahead of the image; -ENOTTY from a kernel without our patches. */
	int (*live_begin)(struct snapshot_device *device);
	int (*live_read)(struct snapshot_device *device, struct pmsm_snapshot_live *live);
	int (*delta)(struct snapshot_device *device, struct pmsm_snapshot_delta *delta);
	int (*preload_begin)(struct snapshot_device *device,
			     struct pmsm_snapshot_preload_begin *begin);
	int (*preload)(struct snapshot_device *device, struct pmsm_snapshot_preload *preload);
	int (*vacate)(struct snapshot_device *device, struct pmsm_snapshot_vacate *vacate);
	int (*check)(struct snapshot_device *device, struct pmsm_snapshot_check *check);
	/*
	 * Both: -ETIME once the lease has ended and the system was thawed, -ENOTTY from a kernel
	 * without our patches. lease() is -EPERM while the system is held, as it is when it wakes
	 * up from an image.
	 */
	int (*lease)(struct snapshot_device *device, unsigned int ms);
	int (*hold)(struct snapshot_device *device, bool hold);
	void (*close)(struct snapshot_device *device);
};

struct snapshot_device {
	const struct snapshot_operations *ops;
	int fd;
	void *context; /* for a device of the tests */
};

extern const struct snapshot_operations snapshot_kernel;

/*
 * Of the images with frames left out that this kernel makes and completes; 0 if it has none. The
 * device is open for saving.
 */
uint32_t snapshot_image_format(struct snapshot_device *device);

#endif
