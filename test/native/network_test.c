// SPDX-License-Identifier: GPL-2.0-only
/* Quarantine, address takeover, silent ends and announcements, against the real kernel. */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/inet_diag.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <signal.h>

#include "common/announce.h"
#include "common/cmdline.h"
#include "common/sockets.h"
#include "source/guard.h"
#include "target/rehearse.h"
#include "two_networks.h"

#define MIGRATION_PORT 7072

/* Whether a datagram from our side comes to an address of the peer: for what is not TCP. */
static bool datagram_arrives(const char *to, int timeout_ms)
{
	struct sockaddr_in a = address(to, SERVICE_PORT);
	struct pollfd p = {.events = POLLIN};
	bool arrived = false;
	int from, at;

	enter(peer_ns);
	at = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	enter(ours_ns);
	from = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	p.fd = at;
	if (bind(at, (struct sockaddr *)&a, sizeof(a)) == 0 &&
	    connect(from, (struct sockaddr *)&a, sizeof(a)) == 0 && send(from, "u", 1, 0) == 1)
		arrived = poll(&p, 1, timeout_ms) == 1;
	close(from);
	close(at);
	return arrived;
}

static bool silent(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLRDHUP};

	return poll(&p, 1, timeout_ms) == 0;
}

static int migration_to_peer(uint32_t from, uint64_t timeout_ms)
{
	struct endpoint to = {.port = MIGRATION_PORT};

	inet_pton(AF_INET, "10.9.1.2", &to.address);
	return migration_connect("mig", from, &to, true, clock_deadline_ms(timeout_ms));
}

static uint32_t ip(const char *text)
{
	uint32_t a;

	inet_pton(AF_INET, text, &a);
	return a;
}

static void test_quarantine(void)
{
	int service = listener(ours_ns, "10.9.0.1", SERVICE_PORT);
	int migration = listener(peer_ns, "10.9.1.2", MIGRATION_PORT);
	int client, server, stream, stream_peer, late;
	uint8_t mac[MAC_BYTES];

	own_mac(mac);
	client = connect_from(peer_ns, "10.9.0.1", SERVICE_PORT, SOON_MS);
	server = accept(service, NULL, NULL);
	stream = migration_to_peer(ip("10.9.1.1"), SOON_MS);
	stream_peer = accept(migration, NULL, NULL);
	CHECK(client >= 0 && stream >= 0 && arrives(server, client, SOON_MS) &&
		  arrives(stream, stream_peer, SOON_MS),
	      "both networks work");

	run("ip link add dark type veth peer name pdark; ip link set pdark netns %d;"
	    "ip addr add 10.9.7.1/24 dev dark",
	    (int)peer_pid);
	enter(peer_ns);
	run("ip addr add 10.9.7.2/24 dev pdark; ip link set pdark up");
	enter(ours_ns);
	CHECK(quarantine_install(&q, mac) == 0, "quarantine");
	CHECK(arrives(stream, stream_peer, SOON_MS) && arrives(stream_peer, stream, SOON_MS),
	      "the migration flow passes both ways");
	CHECK(!arrives(server, client, QUIET_MS), "service traffic out is dropped");
	CHECK(!arrives(client, server, QUIET_MS), "service traffic in is dropped");
	CHECK(connect_from(peer_ns, "10.9.0.1", SERVICE_PORT, QUIET_MS) < 0,
	      "nobody can connect to the service");
	CHECK(connect_from(ours_ns, "10.9.1.2", MIGRATION_PORT, QUIET_MS) < 0,
	      "on the migration interface an unmarked socket does not pass");
	CHECK(run("ip link set dark up") == 0 && !datagram_arrives("10.9.7.2", QUIET_MS),
	      "a device that was down is covered when it comes up");

	/* A device that appears while the window opens. */
	run("ip link add late type veth peer name plate; ip link set plate netns %d;"
	    "ip addr add 10.9.5.1/24 dev late; ip link set late up",
	    (int)peer_pid);
	enter(peer_ns);
	run("ip addr add 10.9.5.2/24 dev plate; ip link set plate up");
	enter(ours_ns);
	late = listener(peer_ns, "10.9.5.2", SERVICE_PORT);
	CHECK(datagram_arrives("10.9.5.2", SOON_MS),
	      "a device that appears later is not covered at first");
	CHECK(connect_from(ours_ns, "10.9.5.2", SERVICE_PORT, QUIET_MS) < 0,
	      "but for our own TCP, which is dropped whatever the device");
	CHECK(quarantine_close(&q) == 0, "total drop");
	CHECK(!datagram_arrives("10.9.5.2", QUIET_MS),
	      "it covers a device that is younger than the quarantine");
	CHECK(!arrives(stream, stream_peer, QUIET_MS) && !arrives(stream_peer, stream, QUIET_MS),
	      "under total drop not even the migration flow passes");
	CHECK(quarantine_close(&q) == 0, "closing twice is no error");
	CHECK(quarantine_open(&q, mac) == 0 && arrives(stream, stream_peer, SOON_MS),
	      "opened again, what was lost is sent again");
	CHECK(quarantine_install(&q, mac) == 0, "a quarantine replaces an older one");
	CHECK(quarantine_probe(&q) == 0 &&
		  connect_from(peer_ns, "10.9.0.1", SERVICE_PORT, QUIET_MS) < 0,
	      "a probe leaves it as it is");
	CHECK(silent(client, 50), "the client has noticed nothing");
	{
		bool existed = false;

		CHECK(quarantine_remove(&q, &existed) == 0 && existed, "removed");
		CHECK(quarantine_remove(&q, &existed) == 0 && !existed, "removing nothing is fine");
	}
	CHECK(datagram_arrives("10.9.7.2", SOON_MS), "and so does all else");
	CHECK(arrives(server, client, SOON_MS), "the service's connection goes on");
	CHECK(quarantine_probe(&q) == 0, "the probe leaves nothing behind");
	CHECK(quarantine_remove(&q, NULL) == 0 && arrives(client, server, SOON_MS), "really");
	close(late);
	close(client);
	close(server);
	close(stream);
	close(stream_peer);
	close(service);
	close(migration);
}

static void count_family(const struct nlmsghdr *message, void *context)
{
	const struct inet_diag_msg *m = NLMSG_DATA(message);
	unsigned int *counts = context;

	counts[m->idiag_family == AF_INET6]++;
}

/* One walk finds what two do. */
static void test_diag(void)
{
	int four = listener(ours_ns, "10.9.0.1", SERVICE_PORT);
	int six = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned int once[2] = {0}, twice[2] = {0};
	static struct netlink diag;

	if (six < 0 || listen(six, 1) < 0) {
		SKIP("this kernel has no IPv6");
		close(four);
		return;
	}
	diag_open(&diag);
	CHECK(diag_dump(&diag, 1u << TCP_LISTEN, count_family, once) == 0, "both at once");
	CHECK(diag_dump_by_family(&diag, 1u << TCP_LISTEN, count_family, twice) == 0,
	      "one after the other");
	CHECK(once[0] >= 1 && once[1] >= 1, "%u and %u", once[0], once[1]);
	CHECK(once[0] == twice[0] && once[1] == twice[1], "and %u and %u", twice[0], twice[1]);
	netlink_close(&diag);
	close(four);
	close(six);
}

static void test_rehome(void)
{
	static const uint8_t new_mac[MAC_BYTES] = {0x52, 0x54, 0, 0, 1, 2};
	static struct netlink route, diag;
	static struct netdevs devices;
	int migration = listener(peer_ns, "10.9.1.2", MIGRATION_PORT);
	int agent = listener(ours_ns, "0.0.0.0", 7073);
	struct ipv4_network old, new;
	int stream, stream_peer, rest, rest_server, index, fresh;
	uint8_t mac[MAC_BYTES];

	own_mac(mac);
	rtnl_open(&route);
	diag_open(&diag);
	ipv4_network_parse(&old, "10.9.1.1/24");
	ipv4_network_parse(&new, "10.9.1.7/24");
	write_text("/proc/sys/net/ipv4/conf/mig/promote_secondaries", "1");
	stream = migration_to_peer(old.address, SOON_MS);
	stream_peer = accept(migration, NULL, NULL);
	rest = connect_from(peer_ns, "10.9.1.1", 7073, SOON_MS);
	rest_server = accept(agent, NULL, NULL);
	CHECK(stream >= 0 && rest >= 0 && rest_server >= 0, "connections of the old body");
	quarantine_install(&q, mac);
	quarantine_close(&q);

	rtnl_netdevs(&route, &devices);
	index = netdev_by_name(&devices, "mig")->index;
	CHECK(rtnl_set_mac(&route, index, new_mac) == 0, "takes the MAC");
	CHECK(rtnl_address_add(&route, index, &new) == 0 &&
		  rtnl_address_delete(&route, index, &old) == 0,
	      "takes the address, drops the old one");
	silent_close(stream);
	{
		int destroyed = destroy_connections(&diag, old.address);

		if (destroyed == 0)
			SKIP("this kernel cannot destroy sockets (CONFIG_INET_DIAG_DESTROY)");
		else
			CHECK(destroyed == 1, "%d connection of the agent destroyed", destroyed);
	}
	CHECK(quarantine_open(&q, new_mac) == 0, "opens for the new MAC");
	fresh = migration_to_peer(new.address, SOON_MS);
	CHECK(fresh >= 0, "a new connection from the new address");
	CHECK(silent(stream_peer, QUIET_MS) && silent(rest, QUIET_MS),
	      "the peers of the old connections have heard nothing");
	close(fresh);
	quarantine_remove(&q, NULL);
	CHECK(run("ip -o addr show dev mig | grep -q 10.9.1.7/24 && "
		  "! ip -o addr show dev mig | grep -q 10.9.1.1/24 && "
		  "ip route show dev mig | grep -q '10.9.1.0/24.*src 10.9.1.7'") == 0,
	      "address and route are those of the new body");
	close(stream_peer);
	close(rest);
	close(rest_server);
	close(migration);
	close(agent);
	netlink_close(&route);
	netlink_close(&diag);
}

static void test_rehearsal(void)
{
	static struct quarantine left;
	int migration = listener(peer_ns, "10.9.1.2", MIGRATION_PORT);
	uint8_t before[MAC_BYTES], after[MAC_BYTES];
	struct ipv4_network own;
	bool existed = true;
	int stream;

	own_mac(before);
	ipv4_network_parse(&own, "10.9.1.1/24");
	run("ip addr add 10.9.1.1/24 dev mig 2>/dev/null");
	/* As a try leaves it that was cut short. */
	run("ip addr add 192.0.2.1/32 dev mig");
	CHECK(quarantine_prepare(&left, "mig") == 0 && quarantine_install(&left, before) == 0,
	      "a quarantine is there");
	quarantine_destroy(&left);
	CHECK(rehearse_network("mig"), "what comes first on a new body, tried");
	own_mac(after);
	CHECK(memcmp(before, after, MAC_BYTES) == 0, "the MAC is as before");
	CHECK(run("! ip -o addr show dev mig | grep -q 192.0.2.1") == 0, "so are addresses");
	CHECK(quarantine_prepare(&left, "mig") == 0 && quarantine_remove(&left, &existed) == 0 &&
		  !existed,
	      "no quarantine is left");
	quarantine_destroy(&left);
	stream = migration_to_peer(own.address, SOON_MS);
	CHECK(stream >= 0, "connections are made as before");
	if (run("ip tuntap add dev bare mode tun && ip link set bare up") == 0)
		CHECK(!rehearse_network("bare"), "a device that takes no MAC");
	else
		SKIP("no tun device can be made here");
	run("ip link del bare 2>/dev/null");
	CHECK(rehearse_network("nothing"), "what could not be tried says nothing of the device");
	close(stream);
	close(migration);
}

static void test_single_nic(void)
{
	static struct netlink route;
	static struct netdevs devices;
	struct machine_settings s;
	int error;

	cmdline_parse(&s, "pmsm.interface=svc pmsm.address=10.9.3.1/24 pmsm.single-nic");
	rtnl_open(&route);
	error = migration_device_up(&s, &route, &devices);
	if (error == -EOPNOTSUPP) {
		SKIP("this kernel has no macvlan");
		return;
	}
	CHECK(error == 0 && migration_device_up(&s, &route, &devices) == 0,
	      "the migration device of a single NIC, twice");
	CHECK(run("ip -d link show pmsm0 | grep -q macvlan && "
		  "ip -o addr show dev pmsm0 | grep -q 10.9.3.1/24") == 0,
	      "is a macvlan with the migration address");
	s.interface[0] = 'x';
	s.single_nic = false;
	CHECK(migration_device_up(&s, &route, &devices) == -ENODEV, "an unknown interface");
	run("ip link del pmsm0");
	netlink_close(&route);
}

static uint16_t read16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* Sums header and body as a receiver does: a right checksum gives 0xffff. */
static uint32_t icmp6_sum(const uint8_t *frame, size_t bytes)
{
	uint32_t sum = IPPROTO_ICMPV6 + (uint32_t)(bytes - 54);

	for (size_t i = 22; i < bytes; i += 2)
		sum += read16(frame + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void test_announce(void)
{
	static struct announcer announcer;
	static struct netlink route;
	struct sockaddr_ll on = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int requests = 0, replies = 0, advertisements = 0, others = 0, tap;
	uint64_t deadline = clock_deadline_ms(500);
	uint8_t frame[2048];

	enter(peer_ns);
	tap = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	on.sll_ifindex = (int)if_nametoindex("psvc");
	if (bind(tap, (struct sockaddr *)&on, sizeof(on)) < 0)
		abort();
	enter(ours_ns);
	rtnl_open(&route);
	CHECK(announce_open(&announcer) == 0 && announce_collect(&announcer, &route, "mig") == 0,
	      "addresses collected");
	CHECK(announce_round(&announcer) >= 3, "one round");
	while (clock_left_ms(deadline) > 0) {
		struct pollfd p = {.fd = tap, .events = POLLIN};
		ssize_t n = 0;

		if (poll(&p, 1, clock_left_ms(deadline)) == 1)
			n = recv(tap, frame, sizeof(frame), 0);
		if (n >= 42 && read16(frame + 12) == ETH_P_ARP && frame[31] == 1 &&
		    memcmp(frame + 28, frame + 38, 4) == 0) {
			requests += read16(frame + 20) == 1;
			replies += read16(frame + 20) == 2;
		} else if (n >= 86 && read16(frame + 12) == ETH_P_IPV6 && frame[54] == 136 &&
			   frame[62] == 0xfd) {
			advertisements += icmp6_sum(frame, 86) == 0xffff;
		} else if (n > 0 && read16(frame + 12) == ETH_P_ARP) {
			others++;
		}
	}
	CHECK(requests == 1 && replies == 1, "gratuitous ARP: %d request, %d reply (other ARP: %d)",
	      requests, replies, others);
	CHECK(advertisements == 1, "%d neighbour advertisement with a right checksum",
	      advertisements);
	close(tap);
	announce_close(&announcer);
	netlink_close(&route);
}

/* The helper dies with an order left behind; returns whether the quarantine is still there. */
static bool quarantine_after_death(enum guard_order order, bool *marker)
{
	bool existed = false;
	int done[2];
	pid_t helper;
	char byte;

	if (pipe(done) < 0)
		abort();
	fflush(stdout);
	helper = fork();
	if (helper == 0) {
		static struct guard guard;
		uint8_t mac[MAC_BYTES] = {2, 0, 0, 0, 0, 1};

		close(done[0]);
		/* The guard inherits stderr: as the pipe's end it says when the guard has ended. */
		dup2(done[1], 2);
		if (guard_start(&guard) || quarantine_install(&q, mac))
			_exit(9);
		guard_set(&guard, order);
		kill(getpid(), SIGKILL);
	}
	waitpid(helper, NULL, 0);
	close(done[1]);
	while (read(done[0], &byte, 1) > 0)
		;
	close(done[0]);
	*marker = marker_exists();
	quarantine_remove(&q, &existed);
	return existed;
}

static void test_guard(void)
{
	bool marker;

	CHECK(!quarantine_after_death(GUARD_RECOVER, &marker) && !marker,
	      "order RECOVER: the guard deletes the quarantine");
	CHECK(quarantine_after_death(GUARD_HOLD, &marker) && marker,
	      "order HOLD: the quarantine stays, and the marker says held");
	unlink("/run/pmsm/held");
	CHECK(quarantine_after_death(GUARD_IDLE, &marker) && !marker,
	      "order IDLE: the guard does nothing");
}

static void tests(void)
{
	test_quarantine();
	test_rehearsal();
	test_diag();
	test_rehome();
	test_single_nic();
	test_announce();
	test_guard();
}

int main(void)
{
	return run_between_networks(tests);
}
