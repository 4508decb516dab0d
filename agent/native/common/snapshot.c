// SPDX-License-Identifier: GPL-2.0-only
#include "common/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SNAPSHOT_PATH "/dev/snapshot"

static int kernel_open(struct snapshot_device *device, enum snapshot_mode mode)
{
	static const int flags[] = {[SNAPSHOT_MODE_SAVE] = O_RDONLY,
				    [SNAPSHOT_MODE_LIVE] = O_RDONLY | O_NONBLOCK,
				    [SNAPSHOT_MODE_LOAD] = O_WRONLY};

	device->fd = open(SNAPSHOT_PATH, flags[mode] | O_CLOEXEC);
	return device->fd < 0 ? -errno : 0;
}

static int call(struct snapshot_device *device, unsigned long request, void *argument)
{
	return ioctl(device->fd, request, argument) < 0 ? -errno : 0;
}

static int kernel_freeze(struct snapshot_device *device)
{
	return call(device, SNAPSHOT_FREEZE, NULL);
}

static int kernel_create(struct snapshot_device *device, int *in_suspend)
{
	/*
	 * No limit but the kernel's own: shrinking memory in the window takes longer than sending
	 * it. Not ULONG_MAX: the kernel rounds up to pages, which makes it 0, and then allocates
	 * all memory there is until as much as possible has been reclaimed.
	 */
	int error = call(device, SNAPSHOT_PREF_IMAGE_SIZE, (void *)LONG_MAX);

	*in_suspend = 1;
	return error ? error : call(device, SNAPSHOT_CREATE_IMAGE, in_suspend);
}

static ssize_t kernel_read(struct snapshot_device *device, void *to, size_t bytes)
{
	ssize_t n = read(device->fd, to, bytes);

	return n < 0 ? -errno : n;
}

static ssize_t kernel_write(struct snapshot_device *device, const void *from, size_t bytes)
{
	ssize_t n = write(device->fd, from, bytes);

	return n < 0 ? -errno : n;
}

static int kernel_restore(struct snapshot_device *device)
{
	return call(device, SNAPSHOT_ATOMIC_RESTORE, NULL);
}

static int kernel_free_image(struct snapshot_device *device)
{
	return call(device, SNAPSHOT_FREE, NULL);
}

static int kernel_thaw(struct snapshot_device *device)
{
	return call(device, SNAPSHOT_UNFREEZE, NULL);
}

static int kernel_phases(struct snapshot_device *device, struct pmsm_snapshot_phases *phases)
{
	*phases = (struct pmsm_snapshot_phases){.size = sizeof(*phases)};
	return call(device, PMSM_SNAPSHOT_GET_PHASES, phases);
}

static int kernel_live_begin(struct snapshot_device *device)
{
	return call(device, PMSM_SNAPSHOT_LIVE_BEGIN, NULL);
}

static int kernel_live_read(struct snapshot_device *device, struct pmsm_snapshot_live *live)
{
	live->size = sizeof(*live);
	return call(device, PMSM_SNAPSHOT_LIVE_READ, live);
}

static int kernel_delta(struct snapshot_device *device, struct pmsm_snapshot_delta *delta)
{
	delta->size = sizeof(*delta);
	return call(device, PMSM_SNAPSHOT_DELTA, delta);
}

static int kernel_preload_begin(struct snapshot_device *device,
				struct pmsm_snapshot_preload_begin *begin)
{
	begin->size = sizeof(*begin);
	return call(device, PMSM_SNAPSHOT_PRELOAD_BEGIN, begin);
}

static int kernel_preload(struct snapshot_device *device, struct pmsm_snapshot_preload *preload)
{
	preload->size = sizeof(*preload);
	return call(device, PMSM_SNAPSHOT_PRELOAD, preload);
}

static int kernel_vacate(struct snapshot_device *device, struct pmsm_snapshot_vacate *vacate)
{
	vacate->size = sizeof(*vacate);
	return call(device, PMSM_SNAPSHOT_VACATE, vacate);
}

static int kernel_check(struct snapshot_device *device, struct pmsm_snapshot_check *check)
{
	check->size = sizeof(*check);
	return call(device, PMSM_SNAPSHOT_CHECK, check);
}

static int kernel_lease(struct snapshot_device *device, unsigned int ms)
{
	return call(device, PMSM_SNAPSHOT_LEASE, (void *)(uintptr_t)ms);
}

static int kernel_hold(struct snapshot_device *device, bool hold)
{
	return call(device, PMSM_SNAPSHOT_HOLD, (void *)(uintptr_t)hold);
}

static void kernel_close(struct snapshot_device *device)
{
	if (device->fd >= 0)
		close(device->fd);
	device->fd = -1;
}

const struct snapshot_operations snapshot_kernel = {
    .open = kernel_open,
    .freeze = kernel_freeze,
    .create = kernel_create,
    .read = kernel_read,
    .write = kernel_write,
    .restore = kernel_restore,
    .free_image = kernel_free_image,
    .thaw = kernel_thaw,
    .phases = kernel_phases,
    .live_begin = kernel_live_begin,
    .live_read = kernel_live_read,
    .delta = kernel_delta,
    .preload_begin = kernel_preload_begin,
    .preload = kernel_preload,
    .vacate = kernel_vacate,
    .check = kernel_check,
    .lease = kernel_lease,
    .hold = kernel_hold,
    .close = kernel_close,
};

uint32_t snapshot_image_format(struct snapshot_device *device)
{
	struct pmsm_snapshot_delta delta = {0};

	return device->ops->delta(device, &delta) ? 0 : delta.format;
}
