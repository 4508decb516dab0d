// SPDX-License-Identifier: GPL-2.0-only
#include "common/quarantine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netinet/in.h>
#include <stdio.h>

#define TABLE		  "pmsm"
#define CHAIN_OUT	  "migration-out"
#define CHAIN_IN	  "migration-in"
#define CHAIN_TCP	  "tcp-out"
#define DEVICES_PER_CHAIN 200 /* the kernel's own limit is 256 */
#define CHAIN_PRIORITY	  -1000

static uint32_t put_message(struct netlink *nl, uint8_t family, uint16_t operation, uint16_t flags)
{
	struct nfgenmsg fixed = {.nfgen_family = family, .version = NFNETLINK_V0};

	return netlink_message(nl, (NFNL_SUBSYS_NFTABLES << 8) | operation, flags, &fixed,
			       sizeof(fixed));
}

static void put_batch_edge(struct netlink *nl, uint16_t type)
{
	struct nfgenmsg fixed = {.nfgen_family = AF_UNSPEC,
				 .version = NFNETLINK_V0,
				 .res_id = htons(NFNL_SUBSYS_NFTABLES)};

	netlink_message(nl, type, 0, &fixed, sizeof(fixed));
}

static uint32_t put_table(struct netlink *nl, uint8_t family, uint16_t operation, uint16_t flags)
{
	uint32_t sequence = put_message(nl, family, operation, flags);

	netlink_put_text(nl, NFTA_TABLE_NAME, TABLE);
	return sequence;
}

/* Devices of a chain: those of the migration flow, or all others. */
struct selection {
	const struct netdevs *devices;
	const bool *is_migration;
	bool migration;
	size_t from; /* index of the first device that is still to be put */
};

static bool selected(const struct selection *selection, size_t i)
{
	return !(selection->devices->devices[i].flags & IFF_LOOPBACK) &&
	       selection->is_migration[i] == selection->migration;
}

static bool anything_left(struct selection *selection)
{
	while (selection->from < selection->devices->count && !selected(selection, selection->from))
		selection->from++;
	return selection->from < selection->devices->count;
}

/* A base chain up to its hook, whose nest stays open for what its family has besides. */
static size_t put_base_chain(struct netlink *nl, uint8_t family, const char *name, uint32_t hook)
{
	size_t hook_nest;

	put_message(nl, family, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	netlink_put_text(nl, NFTA_CHAIN_TABLE, TABLE);
	netlink_put_text(nl, NFTA_CHAIN_NAME, name);
	hook_nest = netlink_nest(nl, NFTA_CHAIN_HOOK);
	netlink_put_be32(nl, NFTA_HOOK_HOOKNUM, hook);
	netlink_put_be32(nl, NFTA_HOOK_PRIORITY, (uint32_t)CHAIN_PRIORITY);
	return hook_nest;
}

static void put_device_chain(struct netlink *nl, const char *name, uint32_t hook,
			     struct selection *selection)
{
	size_t hook_nest = put_base_chain(nl, NFPROTO_NETDEV, name, hook);
	size_t devices_nest, n = 0;

	devices_nest = netlink_nest(nl, NFTA_HOOK_DEVS);
	for (; n < DEVICES_PER_CHAIN && anything_left(selection); n++)
		netlink_put_text(nl, NFTA_DEVICE_NAME,
				 selection->devices->devices[selection->from++].name);
	netlink_nest_end(nl, devices_nest);
	netlink_nest_end(nl, hook_nest);
	netlink_put_be32(nl, NFTA_CHAIN_POLICY, NF_DROP);
	netlink_put_text(nl, NFTA_CHAIN_TYPE, "filter");
}

static size_t expression_begin(struct netlink *nl, const char *name, size_t *data)
{
	size_t element = netlink_nest(nl, NFTA_LIST_ELEM);

	netlink_put_text(nl, NFTA_EXPR_NAME, name);
	*data = netlink_nest(nl, NFTA_EXPR_DATA);
	return element;
}

static void expression_end(struct netlink *nl, size_t element, size_t data)
{
	netlink_nest_end(nl, data);
	netlink_nest_end(nl, element);
}

static void put_compare(struct netlink *nl, const void *value, size_t bytes)
{
	size_t data, element = expression_begin(nl, "cmp", &data);
	size_t nest;

	netlink_put_be32(nl, NFTA_CMP_SREG, NFT_REG_1);
	netlink_put_be32(nl, NFTA_CMP_OP, NFT_CMP_EQ);
	nest = netlink_nest(nl, NFTA_CMP_DATA);
	netlink_put(nl, NFTA_DATA_VALUE, value, bytes);
	netlink_nest_end(nl, nest);
	expression_end(nl, element, data);
}

/* The destination MAC is at offset 0 of the frame, the source MAC at 6. */
static void put_mac_match(struct netlink *nl, uint32_t offset, const uint8_t *mac)
{
	size_t data, element = expression_begin(nl, "payload", &data);

	netlink_put_be32(nl, NFTA_PAYLOAD_DREG, NFT_REG_1);
	netlink_put_be32(nl, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_LL_HEADER);
	netlink_put_be32(nl, NFTA_PAYLOAD_OFFSET, offset);
	netlink_put_be32(nl, NFTA_PAYLOAD_LEN, MAC_BYTES);
	expression_end(nl, element, data);
	put_compare(nl, mac, MAC_BYTES);
}

static void put_meta_match(struct netlink *nl, uint32_t key, const void *value, size_t bytes)
{
	size_t data, element = expression_begin(nl, "meta", &data);

	netlink_put_be32(nl, NFTA_META_DREG, NFT_REG_1);
	netlink_put_be32(nl, NFTA_META_KEY, key);
	expression_end(nl, element, data);
	put_compare(nl, value, bytes);
}

static void put_verdict(struct netlink *nl, uint32_t verdict_code)
{
	size_t data, element = expression_begin(nl, "immediate", &data);
	size_t value, verdict;

	netlink_put_be32(nl, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	value = netlink_nest(nl, NFTA_IMMEDIATE_DATA);
	verdict = netlink_nest(nl, NFTA_DATA_VERDICT);
	netlink_put_be32(nl, NFTA_VERDICT_CODE, verdict_code);
	netlink_nest_end(nl, verdict);
	netlink_nest_end(nl, value);
	expression_end(nl, element, data);
}

enum rule { RULE_OUT_ARP, RULE_OUT_MARKED, RULE_IN_TO_US, RULE_IN_ARP, RULES };

static uint32_t put_rule(struct netlink *nl, enum rule rule, const uint8_t *mac)
{
	bool out = rule == RULE_OUT_ARP || rule == RULE_OUT_MARKED;
	uint32_t sequence = put_message(nl, NFPROTO_NETDEV, NFT_MSG_NEWRULE,
					NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK);
	uint16_t arp = htons(ETH_P_ARP);
	uint32_t mark = MIGRATION_MARK;
	size_t list;

	netlink_put_text(nl, NFTA_RULE_TABLE, TABLE);
	netlink_put_text(nl, NFTA_RULE_CHAIN, out ? CHAIN_OUT : CHAIN_IN);
	list = netlink_nest(nl, NFTA_RULE_EXPRESSIONS);
	if (rule == RULE_OUT_ARP || rule == RULE_IN_ARP)
		put_meta_match(nl, NFT_META_PROTOCOL, &arp, sizeof(arp));
	if (rule == RULE_OUT_MARKED)
		put_meta_match(nl, NFT_META_MARK, &mark, sizeof(mark));
	if (out)
		put_mac_match(nl, 6, mac);
	if (rule == RULE_IN_TO_US)
		put_mac_match(nl, 0, mac);
	put_verdict(nl, NF_ACCEPT);
	netlink_nest_end(nl, list);
	return sequence;
}

enum tcp_rule { TCP_MARKED, TCP_LOOPBACK, TCP_ALL_ELSE, TCP_RULES };

static void put_tcp_rule(struct netlink *nl, enum tcp_rule rule)
{
	const uint16_t loopback = ARPHRD_LOOPBACK;
	const uint32_t mark = MIGRATION_MARK;
	const uint8_t tcp = IPPROTO_TCP;
	size_t list;

	put_message(nl, NFPROTO_INET, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	netlink_put_text(nl, NFTA_RULE_TABLE, TABLE);
	netlink_put_text(nl, NFTA_RULE_CHAIN, CHAIN_TCP);
	list = netlink_nest(nl, NFTA_RULE_EXPRESSIONS);
	if (rule == TCP_MARKED)
		put_meta_match(nl, NFT_META_MARK, &mark, sizeof(mark));
	else if (rule == TCP_LOOPBACK)
		put_meta_match(nl, NFT_META_OIFTYPE, &loopback, sizeof(loopback));
	else
		put_meta_match(nl, NFT_META_L4PROTO, &tcp, sizeof(tcp));
	put_verdict(nl, rule == TCP_ALL_ELSE ? NF_DROP : NF_ACCEPT);
	netlink_nest_end(nl, list);
}

/* Stays as it is while the quarantine is closed: a marked segment is dropped at the device then. */
static void put_tcp_chain(struct netlink *nl)
{
	size_t hook_nest = put_base_chain(nl, NFPROTO_INET, CHAIN_TCP, NF_INET_LOCAL_OUT);

	netlink_nest_end(nl, hook_nest);
	netlink_put_be32(nl, NFTA_CHAIN_POLICY, NF_ACCEPT);
	netlink_put_text(nl, NFTA_CHAIN_TYPE, "filter");
	for (int rule = 0; rule < TCP_RULES; rule++)
		put_tcp_rule(nl, rule);
}

/* Marks the migration interface and every device that its frames pass on their way down. */
static int find_migration(const struct quarantine *q, bool *is_migration)
{
	const struct netdevs *all = &q->devices;
	const struct netdev *top = netdev_by_name(all, q->interface);
	bool changed = true;

	memset(is_migration, 0, sizeof(*is_migration) * NETDEVS_MAX);
	if (!top)
		return -ENODEV;
	is_migration[top - all->devices] = true;
	while (changed) {
		changed = false;
		for (size_t i = 0; i < all->count; i++) {
			const struct netdev *upper = &all->devices[i];

			if (!is_migration[i])
				continue;
			for (size_t j = 0; j < all->count; j++) {
				const struct netdev *lower = &all->devices[j];

				if (is_migration[j] ||
				    (lower->index != upper->lower && lower->master != upper->index))
					continue;
				is_migration[j] = changed = true;
			}
		}
	}
	return 0;
}

static void put_chains(struct netlink *nl, const struct netdevs *devices, const bool *is_migration)
{
	struct selection others[2] = {{devices, is_migration, false, 0},
				      {devices, is_migration, false, 0}};
	struct selection migration[2] = {{devices, is_migration, true, 0},
					 {devices, is_migration, true, 0}};
	char name[32];

	put_device_chain(nl, CHAIN_OUT, NF_NETDEV_EGRESS, &migration[0]);
	put_device_chain(nl, CHAIN_IN, NF_NETDEV_INGRESS, &migration[1]);
	for (unsigned int n = 0; anything_left(&others[0]); n++) {
		snprintf(name, sizeof(name), "drop-out-%u", n);
		put_device_chain(nl, name, NF_NETDEV_EGRESS, &others[0]);
		snprintf(name, sizeof(name), "drop-in-%u", n);
		put_device_chain(nl, name, NF_NETDEV_INGRESS, &others[1]);
	}
}

/* An empty table in the place of an older one. */
static uint32_t put_fresh_table(struct netlink *nl, uint8_t family)
{
	put_table(nl, family, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	put_table(nl, family, NFT_MSG_DELTABLE, 0);
	return put_table(nl, family, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ACK);
}

/* Everything in one batch; without a MAC it lets nothing pass. */
static int install(struct quarantine *q, const uint8_t *mac)
{
	bool is_migration[NETDEVS_MAX];
	uint32_t sequence;
	int error = find_migration(q, is_migration);

	if (error)
		return error;
	netlink_begin(&q->nft);
	put_batch_edge(&q->nft, NFNL_MSG_BATCH_BEGIN);
	put_fresh_table(&q->nft, NFPROTO_INET);
	put_tcp_chain(&q->nft);
	sequence = put_fresh_table(&q->nft, NFPROTO_NETDEV);
	put_chains(&q->nft, &q->devices, is_migration);
	for (int rule = 0; mac && rule < RULES; rule++)
		sequence = put_rule(&q->nft, rule, mac);
	put_batch_edge(&q->nft, NFNL_MSG_BATCH_END);
	error = netlink_transact(&q->nft, sequence);
	if (!error)
		q->installed = true;
	return error;
}

int quarantine_prepare(struct quarantine *q, const char *interface)
{
	int error;

	copy_text(q->interface, sizeof(q->interface), interface);
	q->installed = false;
	q->nft.fd = q->route.fd = -1;
	error = netlink_open(&q->nft, NETLINK_NETFILTER);
	if (!error)
		error = rtnl_open(&q->route);
	return error;
}

void quarantine_destroy(struct quarantine *q)
{
	netlink_close(&q->nft);
	netlink_close(&q->route);
}

int quarantine_probe(struct quarantine *q)
{
	struct netdevs *none = &q->now;
	bool nothing[NETDEVS_MAX] = {false};
	uint32_t sequence;
	int error;

	/* Base chains without a device: the kernel checks hook and type, and drops nothing. */
	none->count = 0;
	netlink_begin(&q->nft);
	put_batch_edge(&q->nft, NFNL_MSG_BATCH_BEGIN);
	/* If there is a quarantine, this fails, and the whole batch is as if it had not been. */
	put_table(&q->nft, NFPROTO_NETDEV, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	put_chains(&q->nft, none, nothing);
	for (int rule = 0; rule < RULES; rule++)
		put_rule(&q->nft, rule, (const uint8_t *)"\0\0\0\0\0");
	put_table(&q->nft, NFPROTO_NETDEV, NFT_MSG_DELTABLE, 0);
	/* This chain would drop: it is gone again before the batch takes effect. */
	put_table(&q->nft, NFPROTO_INET, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	put_tcp_chain(&q->nft);
	sequence = put_table(&q->nft, NFPROTO_INET, NFT_MSG_DELTABLE, NLM_F_ACK);
	put_batch_edge(&q->nft, NFNL_MSG_BATCH_END);
	error = netlink_transact(&q->nft, sequence);
	return error == -EEXIST ? 0 : error;
}

int quarantine_install(struct quarantine *q, const uint8_t *mac)
{
	int error = rtnl_netdevs(&q->route, &q->devices);

	return error ? error : install(q, mac);
}

static bool same_devices(const struct netdevs *a, const struct netdevs *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (a->devices[i].index != b->devices[i].index ||
		    strcmp(a->devices[i].name, b->devices[i].name) != 0)
			return false;
	return true;
}

static void put_flush(struct netlink *nl, const char *chain)
{
	put_message(nl, NFPROTO_NETDEV, NFT_MSG_DELRULE, NLM_F_ACK);
	netlink_put_text(nl, NFTA_RULE_TABLE, TABLE);
	netlink_put_text(nl, NFTA_RULE_CHAIN, chain);
}

int quarantine_close(struct quarantine *q)
{
	int error = rtnl_netdevs(&q->route, &q->now);

	if (error)
		return error;
	if (!same_devices(&q->devices, &q->now)) {
		memcpy(&q->devices, &q->now, sizeof(q->devices));
		return install(q, NULL);
	}
	netlink_begin(&q->nft);
	put_batch_edge(&q->nft, NFNL_MSG_BATCH_BEGIN);
	put_flush(&q->nft, CHAIN_OUT);
	put_flush(&q->nft, CHAIN_IN);
	put_batch_edge(&q->nft, NFNL_MSG_BATCH_END);
	/* The end's own sequence number is one past that of the last message. */
	return netlink_transact(&q->nft, q->nft.sequence - 2);
}

int quarantine_open(struct quarantine *q, const uint8_t *mac)
{
	uint32_t sequence = 0;

	netlink_begin(&q->nft);
	put_batch_edge(&q->nft, NFNL_MSG_BATCH_BEGIN);
	put_flush(&q->nft, CHAIN_OUT);
	put_flush(&q->nft, CHAIN_IN);
	for (int rule = 0; rule < RULES; rule++)
		sequence = put_rule(&q->nft, rule, mac);
	put_batch_edge(&q->nft, NFNL_MSG_BATCH_END);
	return netlink_transact(&q->nft, sequence);
}

int quarantine_remove(struct quarantine *q, bool *existed)
{
	uint32_t sequence;
	int error;

	netlink_begin(&q->nft);
	put_batch_edge(&q->nft, NFNL_MSG_BATCH_BEGIN);
	/* Made first if it is not there: only the other one tells whether there was a quarantine.
	 */
	put_table(&q->nft, NFPROTO_INET, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	put_table(&q->nft, NFPROTO_INET, NFT_MSG_DELTABLE, 0);
	sequence = put_table(&q->nft, NFPROTO_NETDEV, NFT_MSG_DELTABLE, NLM_F_ACK);
	put_batch_edge(&q->nft, NFNL_MSG_BATCH_END);
	error = netlink_transact(&q->nft, sequence);
	if (existed)
		*existed = error == 0;
	if (!error || error == -ENOENT)
		q->installed = false;
	return error == -ENOENT ? 0 : error;
}
