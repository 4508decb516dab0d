/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_RTNL_H
#define PMSM_RTNL_H

#include "common/netlink.h"

#define NETDEVS_MAX   1024
#define ADDRESSES_MAX 1024

struct netdev {
	int index;
	int lower;  /* device below (macvlan, VLAN), 0 if none */
	int master; /* bond or bridge it belongs to, 0 if none */
	unsigned int flags;
	unsigned short hardware; /* ARPHRD_ */
	uint8_t mac[MAC_BYTES];
	uint8_t permanent_mac[MAC_BYTES];
	char name[INTERFACE_BYTES];
};

struct netdevs {
	size_t count;
	bool overflow;
	struct netdev devices[NETDEVS_MAX];
};

struct interface_address {
	int index;
	uint8_t family; /* AF_INET, AF_INET6 */
	uint8_t prefix;
	uint8_t scope;
	uint8_t address[16];
};

struct interface_addresses {
	size_t count;
	struct interface_address addresses[ADDRESSES_MAX];
};

/* An IPv4 address, kept as it is in memory in network byte order. */
struct ipv4_network {
	uint32_t address;
	uint8_t prefix;
};

int rtnl_open(struct netlink *nl);
int rtnl_netdevs(struct netlink *nl, struct netdevs *netdevs);
const struct netdev *netdev_by_name(const struct netdevs *netdevs, const char *name);
const struct netdev *netdev_by_index(const struct netdevs *netdevs, int index);
int rtnl_addresses(struct netlink *nl, struct interface_addresses *addresses);
int rtnl_address_add(struct netlink *nl, int index, const struct ipv4_network *network);
int rtnl_address_delete(struct netlink *nl, int index, const struct ipv4_network *network);
int rtnl_set_up(struct netlink *nl, int index, bool up);
int rtnl_set_mac(struct netlink *nl, int index, const uint8_t *mac);
/* The same, also with a driver that cannot do it while the device is up. */
int rtnl_take_mac(struct netlink *nl, int index, const uint8_t *mac);
/*
 * Tells paravirtual NICs which MAC to listen to. Their driver does not do it when the machine wakes
 * up, so the device filters by the address that it had at power-on, which on another body is
 * another one: then the machine hears broadcasts only. Drivers of real NICs program it in their
 * reset.
 *
 * The address becomes an entry of the device's list of further unicast addresses. Setting it as the
 * device's own again would do too, but the kernel passes on only what is a change, and a change
 * flushes the neighbours. The number of devices.
 */
bool netdev_driver_is(const char *name, const char *driver);
int rtnl_refresh_macs(struct netlink *nl, const struct netdevs *netdevs, int except_index);
int rtnl_macvlan_create(struct netlink *nl, const char *name, int lower, const uint8_t *mac);

bool ipv4_network_parse(struct ipv4_network *network, const char *text);
bool mac_parse(uint8_t *mac, const char *text);
void mac_format(char *text, const uint8_t *mac); /* 18 bytes */

#endif
