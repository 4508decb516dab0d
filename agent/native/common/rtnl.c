// SPDX-License-Identifier: GPL-2.0-only
#include "common/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int rtnl_open(struct netlink *nl)
{
	return netlink_open(nl, NETLINK_ROUTE);
}

static void copy_mac(uint8_t *mac, const struct nlattr *attribute)
{
	if (attribute && netlink_bytes(attribute) == MAC_BYTES)
		memcpy(mac, netlink_data(attribute), MAC_BYTES);
}

static int int_of(const struct nlattr *attribute)
{
	int value = 0;

	if (attribute && netlink_bytes(attribute) >= sizeof(value))
		memcpy(&value, netlink_data(attribute), sizeof(value));
	return value;
}

static void add_netdev(const struct nlmsghdr *message, void *context)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);
	const struct nlattr *name = netlink_find(message, sizeof(*info), IFLA_IFNAME);
	struct netdevs *all = context;
	struct netdev *device;

	if (message->nlmsg_type != RTM_NEWLINK || !name || netlink_bytes(name) == 0)
		return;
	if (all->count == NETDEVS_MAX) {
		all->overflow = true;
		return;
	}
	device = &all->devices[all->count++];
	*device = (struct netdev){
	    .index = info->ifi_index, .flags = info->ifi_flags, .hardware = info->ifi_type};
	snprintf(device->name, sizeof(device->name), "%.*s", (int)netlink_bytes(name),
		 (const char *)netlink_data(name));
	device->master = int_of(netlink_find(message, sizeof(*info), IFLA_MASTER));
	/* For a veth pair in two namespaces IFLA_LINK is an index of the other one. */
	if (!netlink_find(message, sizeof(*info), IFLA_LINK_NETNSID))
		device->lower = int_of(netlink_find(message, sizeof(*info), IFLA_LINK));
	copy_mac(device->mac, netlink_find(message, sizeof(*info), IFLA_ADDRESS));
	copy_mac(device->permanent_mac, netlink_find(message, sizeof(*info), IFLA_PERM_ADDRESS));
}

int rtnl_netdevs(struct netlink *nl, struct netdevs *netdevs)
{
	struct ifinfomsg info = {.ifi_family = AF_UNSPEC};
	int error;

	netdevs->count = 0;
	netdevs->overflow = false;
	netlink_begin(nl);
	netlink_message(nl, RTM_GETLINK, NLM_F_DUMP, &info, sizeof(info));
	error = netlink_dump(nl, add_netdev, netdevs);
	if (!error && netdevs->overflow)
		return -E2BIG;
	return error;
}

const struct netdev *netdev_by_name(const struct netdevs *netdevs, const char *name)
{
	for (size_t i = 0; i < netdevs->count; i++)
		if (strcmp(netdevs->devices[i].name, name) == 0)
			return &netdevs->devices[i];
	return NULL;
}

const struct netdev *netdev_by_index(const struct netdevs *netdevs, int index)
{
	for (size_t i = 0; i < netdevs->count; i++)
		if (netdevs->devices[i].index == index)
			return &netdevs->devices[i];
	return NULL;
}

static void add_address(const struct nlmsghdr *message, void *context)
{
	const struct ifaddrmsg *info = NLMSG_DATA(message);
	const struct nlattr *address = netlink_find(message, sizeof(*info), IFA_LOCAL);
	struct interface_addresses *all = context;
	struct interface_address *entry;

	if (!address)
		address = netlink_find(message, sizeof(*info), IFA_ADDRESS);
	if (message->nlmsg_type != RTM_NEWADDR || !address || all->count == ADDRESSES_MAX)
		return;
	if (netlink_bytes(address) > sizeof(entry->address))
		return;
	entry = &all->addresses[all->count++];
	*entry = (struct interface_address){.index = (int)info->ifa_index,
					    .family = info->ifa_family,
					    .prefix = info->ifa_prefixlen,
					    .scope = info->ifa_scope};
	memcpy(entry->address, netlink_data(address), netlink_bytes(address));
}

int rtnl_addresses(struct netlink *nl, struct interface_addresses *addresses)
{
	struct ifaddrmsg info = {.ifa_family = AF_UNSPEC};

	addresses->count = 0;
	netlink_begin(nl);
	netlink_message(nl, RTM_GETADDR, NLM_F_DUMP, &info, sizeof(info));
	return netlink_dump(nl, add_address, addresses);
}

static int change_address(struct netlink *nl, uint16_t type, uint16_t flags, int index,
			  const struct ipv4_network *network)
{
	struct ifaddrmsg info = {
	    .ifa_family = AF_INET, .ifa_prefixlen = network->prefix, .ifa_index = (uint32_t)index};
	uint32_t host = network->prefix < 32 ? 0xffffffffu >> network->prefix : 0;
	uint32_t broadcast = network->address | htonl(host);
	uint32_t sequence;

	netlink_begin(nl);
	sequence = netlink_message(nl, type, NLM_F_ACK | flags, &info, sizeof(info));
	netlink_put(nl, IFA_LOCAL, &network->address, sizeof(network->address));
	netlink_put(nl, IFA_ADDRESS, &network->address, sizeof(network->address));
	if (type == RTM_NEWADDR && network->prefix < 31)
		netlink_put(nl, IFA_BROADCAST, &broadcast, sizeof(broadcast));
	return netlink_transact(nl, sequence);
}

int rtnl_address_add(struct netlink *nl, int index, const struct ipv4_network *network)
{
	return change_address(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index, network);
}

int rtnl_address_delete(struct netlink *nl, int index, const struct ipv4_network *network)
{
	return change_address(nl, RTM_DELADDR, 0, index, network);
}

int rtnl_set_up(struct netlink *nl, int index, bool up)
{
	struct ifinfomsg info = {
	    .ifi_index = index, .ifi_flags = up ? IFF_UP : 0, .ifi_change = IFF_UP};
	uint32_t sequence;

	netlink_begin(nl);
	sequence = netlink_message(nl, RTM_NEWLINK, NLM_F_ACK, &info, sizeof(info));
	return netlink_transact(nl, sequence);
}

int rtnl_set_mac(struct netlink *nl, int index, const uint8_t *mac)
{
	struct ifinfomsg info = {.ifi_index = index};
	uint32_t sequence;

	netlink_begin(nl);
	sequence = netlink_message(nl, RTM_NEWLINK, NLM_F_ACK, &info, sizeof(info));
	netlink_put(nl, IFLA_ADDRESS, mac, MAC_BYTES);
	return netlink_transact(nl, sequence);
}

int rtnl_take_mac(struct netlink *nl, int index, const uint8_t *mac)
{
	int error = rtnl_set_mac(nl, index, mac);

	if (error != -EBUSY)
		return error;
	rtnl_set_up(nl, index, false);
	error = rtnl_set_mac(nl, index, mac);
	rtnl_set_up(nl, index, true);
	return error;
}

bool netdev_driver_is(const char *name, const char *driver)
{
	char path[64], target[256];
	const char *last;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/class/net/%.15s/device/driver", name);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	last = strrchr(target, '/');
	return strcmp(last ? last + 1 : target, driver) == 0;
}

static int change_unicast(struct netlink *nl, uint16_t type, uint16_t flags,
			  const struct netdev *device)
{
	struct ndmsg entry = {.ndm_family = AF_BRIDGE,
			      .ndm_ifindex = device->index,
			      .ndm_state = NUD_PERMANENT,
			      .ndm_flags = NTF_SELF};
	uint32_t sequence;

	netlink_begin(nl);
	sequence = netlink_message(nl, type, NLM_F_ACK | flags, &entry, sizeof(entry));
	netlink_put(nl, NDA_LLADDR, device->mac, MAC_BYTES);
	return netlink_transact(nl, sequence);
}

int rtnl_refresh_macs(struct netlink *nl, const struct netdevs *netdevs, int except_index)
{
	int count = 0;

	for (size_t i = 0; i < netdevs->count; i++) {
		const struct netdev *device = &netdevs->devices[i];
		int error;

		if (device->index == except_index || !(device->flags & IFF_UP) ||
		    !netdev_driver_is(device->name, "virtio_net"))
			continue;
		/* It may be there from an earlier move; only a new one reaches the device. */
		error = change_unicast(nl, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, device);
		if (error == -EEXIST && change_unicast(nl, RTM_DELNEIGH, 0, device) == 0)
			error = change_unicast(nl, RTM_NEWNEIGH, NLM_F_CREATE, device);
		if (error == 0)
			count++;
	}
	return count;
}

int rtnl_macvlan_create(struct netlink *nl, const char *name, int lower, const uint8_t *mac)
{
	struct ifinfomsg info = {0};
	uint32_t sequence;
	size_t kind, data;

	netlink_begin(nl);
	sequence = netlink_message(nl, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &info,
				   sizeof(info));
	netlink_put_text(nl, IFLA_IFNAME, name);
	netlink_put_u32(nl, IFLA_LINK, (uint32_t)lower);
	netlink_put(nl, IFLA_ADDRESS, mac, MAC_BYTES);
	kind = netlink_nest(nl, IFLA_LINKINFO);
	netlink_put_text(nl, IFLA_INFO_KIND, "macvlan");
	data = netlink_nest(nl, IFLA_INFO_DATA);
	netlink_put_u32(nl, IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE);
	netlink_nest_end(nl, data);
	netlink_nest_end(nl, kind);
	return netlink_transact(nl, sequence);
}

bool ipv4_network_parse(struct ipv4_network *network, const char *text)
{
	char address[INET_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	unsigned long prefix;
	char *end;

	if (!slash || (size_t)(slash - text) >= sizeof(address) || slash[1] < '0' || slash[1] > '9')
		return false;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	prefix = strtoul(slash + 1, &end, 10);
	if (*end != '\0' || prefix == 0 || prefix > 32)
		return false;
	network->prefix = (uint8_t)prefix;
	return inet_pton(AF_INET, address, &network->address) == 1;
}

bool mac_parse(uint8_t *mac, const char *text)
{
	unsigned int b[MAC_BYTES];
	char rest;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &rest) != MAC_BYTES)
		return false;
	for (int i = 0; i < MAC_BYTES; i++)
		mac[i] = (uint8_t)b[i];
	return (mac[0] & 1) == 0;
}

void mac_format(char *text, const uint8_t *mac)
{
	snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		 mac[5]);
}
