/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_DEVICES_H
#define PMSM_DEVICES_H

#include "common/base.h"

#define DEVICES_ROOT   "/sys/bus/pci/devices"
#define DEVICES_PROBE  "/sys/bus/pci/drivers_probe"
#define DEVICES_MOUNTS "/proc/self/mounts"

/*
 * Has PCI devices without a driver write no memory any more. Firmware may have left them to do
 * that (a disk controller it booted from, a network card); where they write, it does not say
 * any more when an operating system runs, and here it is going to be another machine's
 * memory. A driver puts its device right, but a standby has not a driver for everything.
 *
 * Not bridges, behind which others work, nor what shows a picture. `root`: DEVICES_ROOT, or what a
 * test has. Returns how many were silenced. Where that is not allowed (a kernel that is locked
 * down) nothing happens; hibernation is not allowed there either.
 */
unsigned int devices_silence(const char *root);

/*
 * Takes their drivers from the PCI devices that hold disks, and silences them. While it loads an
 * image a standby reads no disk, and to stop one for the jump takes time in which no machine
 * runs: its controller is asked to write down what it has and to put the drive to rest, or to log
 * out of a network. The arriving kernel finds them as after a boot without their drivers. Does
 * nothing if a file system on a disk is mounted (`mounts`: DEVICES_MOUNTS). Returns how many were
 * released.
 */
unsigned int devices_release_disks(const char *root, const char *mounts);

/*
 * Gives them back after an attempt that came to nothing. A disk is there a moment after it returns.
 * `probe`: DEVICES_PROBE. Returns how many drivers have been looked for.
 */
unsigned int devices_take_back_disks(const char *root, const char *probe);

#endif
