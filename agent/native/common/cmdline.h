/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_CMDLINE_H
#define PMSM_CMDLINE_H

#include "common/rtnl.h"
#include "common/sockets.h"

/* What the kernel command line says about this physical machine: pmsm.* in /proc/cmdline. */
struct machine_settings {
	char machine[64];
	char interface[INTERFACE_BYTES]; /* the NIC; with single_nic the service NIC */
	struct ipv4_network address;	 /* address 0: not given */
	struct endpoint orchestrator;	 /* port 0: not given */
	char record[64]; /* where the disk says who owns it (ownership.h); empty: nowhere */
	bool standby;
	bool single_nic;
};

#define SINGLE_NIC_NAME "pmsm0"

/* What is not given, or not valid, stays empty. */
void cmdline_parse(struct machine_settings *settings, const char *cmdline);
int cmdline_read(struct machine_settings *settings);

/* The device that carries the migration address. */
const char *migration_device(const struct machine_settings *settings);

/*
 * Brings the migration device up with its address; makes the macvlan for a single NIC. Does no harm
 * if it is so already.
 */
int migration_device_up(const struct machine_settings *settings, struct netlink *route,
			struct netdevs *devices);

#endif
