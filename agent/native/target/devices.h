/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_DEVICES_H
#define PMSM_DEVICES_H

#include "common/base.h"

#define DEVICES_ROOT "/sys/bus/pci/devices"

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

#endif
