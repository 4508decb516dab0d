// SPDX-License-Identifier: GPL-2.0-only
#include "common/announce.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <sys/socket.h>
#include <unistd.h>

struct arp_frame {
	uint8_t to[MAC_BYTES], from[MAC_BYTES];
	uint16_t type;
	uint16_t hardware, protocol;
	uint8_t hardware_bytes, protocol_bytes;
	uint16_t operation;
	uint8_t sender_mac[MAC_BYTES], sender_ip[4];
	uint8_t target_mac[MAC_BYTES], target_ip[4];
} __attribute__((packed));
_Static_assert(sizeof(struct arp_frame) == 42, "ARP over Ethernet");

struct neighbour_frame {
	uint8_t to[MAC_BYTES], from[MAC_BYTES];
	uint16_t type;
	struct ip6_hdr ip;
	struct nd_neighbor_advert advert;
	uint8_t option, option_units, option_mac[MAC_BYTES];
} __attribute__((packed));
_Static_assert(sizeof(struct neighbour_frame) == 86, "neighbour advertisement with one option");

size_t announce_arp_frame(uint8_t *frame, const uint8_t *mac, const uint8_t *ipv4, bool reply)
{
	struct arp_frame f = {.type = htons(ETH_P_ARP),
			      .hardware = htons(ARPHRD_ETHER),
			      .protocol = htons(ETH_P_IP),
			      .hardware_bytes = MAC_BYTES,
			      .protocol_bytes = 4,
			      .operation = htons(reply ? ARPOP_REPLY : ARPOP_REQUEST)};

	memset(f.to, 0xff, MAC_BYTES);
	memcpy(f.from, mac, MAC_BYTES);
	memcpy(f.sender_mac, mac, MAC_BYTES);
	memcpy(f.sender_ip, ipv4, 4);
	memset(f.target_mac, reply ? 0xff : 0, MAC_BYTES);
	memcpy(f.target_ip, ipv4, 4);
	memcpy(frame, &f, sizeof(f));
	return sizeof(f);
}

static uint16_t icmp6_checksum(const struct neighbour_frame *f)
{
	const uint8_t *body = (const uint8_t *)&f->advert;
	size_t bytes = sizeof(*f) - offsetof(struct neighbour_frame, advert);
	const uint8_t *addresses = (const uint8_t *)&f->ip.ip6_src;
	uint32_t sum = (uint32_t)bytes + IPPROTO_ICMPV6;

	for (size_t i = 0; i < 32; i += 2)
		sum += (uint32_t)(addresses[i] << 8 | addresses[i + 1]);
	for (size_t i = 0; i < bytes; i += 2)
		sum += (uint32_t)(body[i] << 8 | body[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

size_t announce_neighbour_frame(uint8_t *frame, const uint8_t *mac, const uint8_t *ipv6)
{
	static const uint8_t all_nodes_mac[MAC_BYTES] = {0x33, 0x33, 0, 0, 0, 1};
	struct neighbour_frame f = {.type = htons(ETH_P_IPV6), .option = 2, .option_units = 1};

	memcpy(f.to, all_nodes_mac, MAC_BYTES);
	memcpy(f.from, mac, MAC_BYTES);
	f.ip.ip6_flow = htonl(6u << 28);
	f.ip.ip6_plen = htons(sizeof(f) - offsetof(struct neighbour_frame, advert));
	f.ip.ip6_nxt = IPPROTO_ICMPV6;
	f.ip.ip6_hlim = 255;
	memcpy(&f.ip.ip6_src, ipv6, 16);
	f.ip.ip6_dst.s6_addr[0] = 0xff;
	f.ip.ip6_dst.s6_addr[1] = 0x02;
	f.ip.ip6_dst.s6_addr[15] = 1;
	f.advert.nd_na_type = ND_NEIGHBOR_ADVERT;
	f.advert.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE;
	memcpy(&f.advert.nd_na_target, ipv6, 16);
	memcpy(f.option_mac, mac, MAC_BYTES);
	f.advert.nd_na_cksum = icmp6_checksum(&f);
	memcpy(frame, &f, sizeof(f));
	return sizeof(f);
}

int announce_open(struct announcer *announcer)
{
	announcer->addresses.count = 0;
	announcer->devices.count = 0;
	/* Protocol 0: it only sends. */
	announcer->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return announcer->fd < 0 ? -errno : 0;
}

void announce_close(struct announcer *announcer)
{
	if (announcer->fd >= 0)
		close(announcer->fd);
	announcer->fd = -1;
}

int announce_collect(struct announcer *announcer, struct netlink *route,
		     const char *except_interface)
{
	const struct netdev *except;
	int error = rtnl_netdevs(route, &announcer->devices);

	if (error && error != -E2BIG)
		return error;
	except = netdev_by_name(&announcer->devices, except_interface);
	announcer->except_index = except ? except->index : 0;
	return rtnl_addresses(route, &announcer->addresses);
}

static bool send_frame(const struct announcer *announcer, int index, const uint8_t *frame,
		       size_t bytes)
{
	struct sockaddr_ll to = {
	    .sll_family = AF_PACKET, .sll_ifindex = index, .sll_halen = MAC_BYTES};

	memcpy(&to.sll_protocol, frame + 12, sizeof(to.sll_protocol));
	memcpy(to.sll_addr, frame, MAC_BYTES);
	return sendto(announcer->fd, frame, bytes, 0, (struct sockaddr *)&to, sizeof(to)) > 0;
}

static int announce_one(const struct announcer *announcer, const struct interface_address *entry)
{
	const struct netdev *device = netdev_by_index(&announcer->devices, entry->index);
	uint8_t frame[ANNOUNCE_FRAME_BYTES];
	int sent = 0;

	if (!device || entry->index == announcer->except_index ||
	    device->hardware != ARPHRD_ETHER || !(device->flags & IFF_UP))
		return 0;
	if (entry->family == AF_INET) {
		for (int reply = 0; reply < 2; reply++)
			sent += send_frame(
			    announcer, entry->index, frame,
			    announce_arp_frame(frame, device->mac, entry->address, reply));
	} else if (entry->family == AF_INET6 && entry->scope == RT_SCOPE_UNIVERSE) {
		sent += send_frame(announcer, entry->index, frame,
				   announce_neighbour_frame(frame, device->mac, entry->address));
	}
	return sent;
}

int announce_round(const struct announcer *announcer)
{
	int sent = 0;

	for (size_t i = 0; i < announcer->addresses.count; i++)
		sent += announce_one(announcer, &announcer->addresses.addresses[i]);
	return sent;
}
