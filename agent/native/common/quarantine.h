/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_QUARANTINE_H
#define PMSM_QUARANTINE_H

#include "common/rtnl.h"

/*
 * The quarantine: nftables table "netdev pmsm" with base chains at ingress and egress of every
 * network device but lo, policy drop. See docs/decisions/0001.
 *
 * Beside it, table "inet pmsm" drops what our own TCP sends on any device but lo, unless it is
 * marked. The drop at the device would do, but TCP takes that for a full queue: it tries again
 * twice a second, and ends a connection that has something to say after 15 attempts
 * (net/ipv4/tcp_timer.c, tcp_probe_timer(), TCP_RESOURCE_PROBE_INTERVAL). An error of the output
 * hook it takes for loss: pauses double, and a connection lives for a quarter of an hour.
 *
 *     open   the migration flow passes on the migration interface and what lies below it:
 *            out: frames with our migration MAC that are ARP or carry MIGRATION_MARK
 *            in:  frames to our migration MAC, and ARP
 *     closed nothing passes
 *
 * Everything is dropped, nothing rejected: a reject would end connections.
 * Every change is one atomic batch. Other tables cannot let through what this one drops.
 *
 * Not covered: frames of XDP programs, and physical devices moved into another network namespace.
 */
struct quarantine {
	struct netlink nft;
	struct netlink route;
	struct netdevs devices;
	struct netdevs now; /* for the comparison after the freeze */
	char interface[INTERFACE_BYTES];
	bool installed;
};

int quarantine_prepare(struct quarantine *quarantine, const char *interface);
void quarantine_destroy(struct quarantine *quarantine);

/*
 * Whether this kernel has what it needs: installs nothing that drops, and leaves a quarantine that
 * there is as it is. 0 or -errno.
 */
int quarantine_probe(struct quarantine *quarantine);

/* Installs it, open for the migration flow of `mac`; replaces an older one. */
int quarantine_install(struct quarantine *quarantine, const uint8_t *mac);

/* Total drop. Devices that appeared since the installation are covered too. */
int quarantine_close(struct quarantine *quarantine);

/* Lets the migration flow of `mac` pass again. */
int quarantine_open(struct quarantine *quarantine, const uint8_t *mac);

/* Deletes it. 0 also if there was none; *existed says which, may be NULL. */
int quarantine_remove(struct quarantine *quarantine, bool *existed);

#endif
