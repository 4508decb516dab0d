/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_ETHTOOL_H
#define PMSM_ETHTOOL_H

#include "common/rtnl.h"

/*
 * Whether the device has a link. IFF_RUNNING is no answer: right after the jump it still is what it
 * was in the image. A device that cannot tell counts as linked.
 */
bool ethtool_has_link(const char *interface);

/*
 * Sets up again the NICs whose stock driver wakes up with a receive ring that may not agree with
 * the device: e1000e for the 82574 leaves the receiver on while it is frozen, so frames that come
 * in then end up in the image's ring, and the driver waits for ever for a descriptor that the
 * device never fills. Our kernel patch cures it; on other kernels the NIC is told to negotiate
 * again, which this driver does by setting up everything anew. Addresses and routes stay. Returns
 * how many.
 */
int ethtool_renew_stale(const struct netdevs *netdevs);

#endif
