/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_ANNOUNCE_H
#define PMSM_ANNOUNCE_H

#include "common/rtnl.h"

/*
 * Tells switches and neighbours where the service addresses are now: for every IPv4 address a
 * gratuitous ARP request and reply, for every global IPv6 address an unsolicited neighbour
 * advertisement, on the device that carries it. The migration interface is left out.
 */
struct announcer {
	int fd;
	struct netdevs devices;
	struct interface_addresses addresses;
	int except_index;
};

int announce_open(struct announcer *announcer);

/* Collects devices and addresses; call it once on the new body. */
int announce_collect(struct announcer *announcer, struct netlink *route,
		     const char *except_interface);

/* One round; the number of frames handed to devices. */
int announce_round(const struct announcer *announcer);
void announce_close(struct announcer *announcer);

/* The frames themselves, for the tests. Each returns its size, at most ANNOUNCE_FRAME_BYTES. */
#define ANNOUNCE_FRAME_BYTES 128
size_t announce_arp_frame(uint8_t *frame, const uint8_t *mac, const uint8_t *ipv4, bool reply);
size_t announce_neighbour_frame(uint8_t *frame, const uint8_t *mac, const uint8_t *ipv6);

#endif
