// SPDX-License-Identifier: GPL-2.0-only
/*
 * Quarantine, address takeover, silent ends and announcements, against the real kernel in two
 * network namespaces of the test's own:
 *
 *     ours:  svc 10.9.0.1/24    mig 10.9.1.1/24      (the machine that moves)
 *     peer:  psvc 10.9.0.2/24   pmig 10.9.1.2/24     (client, orchestrator)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/announce.h"
#include "common/clock.h"
#include "common/cmdline.h"
#include "common/quarantine.h"
#include "common/sockets.h"
#include "source/guard.h"
#include "source/nudge.h"
#include "namespaces.h"
#include "test.h"

#define SERVICE_PORT   9000
#define MIGRATION_PORT 7072
#define QUIET_MS       250 /* longer than the first TCP retransmission */
#define SOON_MS	       4000

static int ours_ns, peer_ns;
static pid_t peer_pid;

__attribute__((format(printf, 1, 2))) static int run(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command);
}

static void enter(int ns)
{
	if (setns(ns, CLONE_NEWNET) < 0)
		abort();
}

/* NULL, or why it cannot be done here. */
static const char *make_namespaces(void)
{
	const char *obstacle = enter_own_namespaces();

	if (obstacle)
		return obstacle;
	peer_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	peer_pid = fork(); /* stands for the namespace in `ip ... netns PID` */
	if (peer_pid == 0) {
		for (;;)
			pause();
	}
	if (unshare(CLONE_NEWNET) < 0)
		return "network namespaces are not allowed";
	ours_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (run("ip link add svc type veth peer name psvc && ip link set psvc netns %d && "
		"ip link add mig type veth peer name pmig && ip link set pmig netns %d && "
		"ip link set lo up && ip addr add 10.9.0.1/24 dev svc && ip link set svc up && "
		"ip addr add 10.9.1.1/24 dev mig && ip link set mig up && "
		"ip addr add fd00:9::1/64 dev svc nodad",
		(int)peer_pid, (int)peer_pid))
		return "`ip` cannot make veth pairs here";
	enter(peer_ns);
	run("ip addr add 10.9.0.2/24 dev psvc; ip link set psvc up; ip link set lo up;"
	    "ip addr add 10.9.1.2/24 dev pmig; ip link set pmig up");
	enter(ours_ns);
	return NULL;
}

static struct sockaddr_in address(const char *text, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, text, &a.sin_addr);
	return a;
}

static int listener(int ns, const char *text, uint16_t port)
{
	struct sockaddr_in a = address(text, port);
	int on = 1, fd;

	enter(ns);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4) < 0)
		abort();
	enter(ours_ns);
	return fd;
}

/* A connection between both namespaces, to a listener of the other side. */
static int connect_from(int ns, const char *to, uint16_t port, int timeout_ms)
{
	struct sockaddr_in a = address(to, port);
	int fd, error = 0;
	socklen_t bytes = sizeof(error);
	struct pollfd p;

	enter(ns);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	enter(ours_ns);
	connect(fd, (struct sockaddr *)&a, sizeof(a));
	p = (struct pollfd){.fd = fd, .events = POLLOUT};
	if (poll(&p, 1, timeout_ms) == 1 &&
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) == 0 && error == 0)
		return fd;
	close(fd);
	return -1;
}

static bool arrives(int from, int to, int timeout_ms)
{
	struct pollfd p = {.fd = to, .events = POLLIN};
	char byte = 'x';

	(void)!send(from, &byte, 1, MSG_NOSIGNAL);
	return poll(&p, 1, timeout_ms) == 1 && recv(to, &byte, 1, 0) == 1;
}

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

static void own_mac(uint8_t *mac)
{
	static struct netlink route;
	static struct netdevs devices;

	rtnl_open(&route);
	rtnl_netdevs(&route, &devices);
	memcpy(mac, netdev_by_name(&devices, "mig")->mac, MAC_BYTES);
	netlink_close(&route);
}

static struct quarantine q;

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

/* Waits until the connection's sender has failed so often that the next pause is 1.6 s or more. */
static void wait_for_back_off(int fd)
{
	uint64_t deadline = clock_deadline_ms(10000);
	struct tcp_info info = {0};
	socklen_t bytes = sizeof(info);

	while (info.tcpi_backoff < 3 && clock_left_ms(deadline) > 0) {
		clock_sleep_ms(10);
		getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes);
	}
}

/*
 * A client's request is lost in the quarantine, which is lifted 0.3 s after its last attempt, and
 * 1.3 s before the next one.
 */
static void test_nudge(void)
{
	int service = listener(ours_ns, "10.9.0.1", SERVICE_PORT);
	static struct netlink diag;
	static struct nudge nudge;
	int client, server, known, reuse = 0;
	socklen_t bytes = sizeof(reuse);
	pid_t holder;
	uint8_t mac[MAC_BYTES];
	uint64_t lifted_ns;
	char byte = 'r';

	own_mac(mac);
	client = connect_from(peer_ns, "10.9.0.1", SERVICE_PORT, SOON_MS);
	server = accept(service, NULL, NULL);
	CHECK(arrives(client, server, SOON_MS) && arrives(server, client, SOON_MS), "a connection");
	/* The helper leaves itself out, so another process must hold the connection. */
	fflush(stdout);
	holder = fork();
	if (holder == 0) {
		for (;;)
			pause();
	}
	quarantine_install(&q, mac);
	(void)!send(client, &byte, 1, 0);
	wait_for_back_off(client);
	clock_sleep_ms(300);
	diag_open(&diag);
	CHECK(nudge_open(&nudge) == 0, "raw sockets");
	known = nudge_learn(&nudge, &diag, clock_deadline_ms(1000));
	CHECK(known == 1 && nudge.owners[0].pid == holder && nudge.owners[0].fd == server,
	      "%d connection whose process is known", known);
	known = nudge_collect(&nudge, &diag, clock_deadline_ms(1000));
	CHECK(known == 1, "%d connection whose next byte is known", known);
	nudge.owners[0].fd = service;
	known = nudge_collect(&nudge, &diag, clock_deadline_ms(1000));
	CHECK(known == 1, "and if its descriptor is another one by now: %d", known);
	nudge.owners[0].pid = INT_MAX;
	known = nudge_collect(&nudge, &diag, clock_deadline_ms(1000));
	CHECK(known == 1, "or its process is gone: %d", known);
	nudge.own_fds[0] = server;
	known = nudge_collect(&nudge, &diag, clock_deadline_ms(1000));
	CHECK(known == 0, "not if it is our own: %d", known);
	nudge.own_fds[0] = -1;
	known = nudge_collect(&nudge, &diag, clock_deadline_ms(1000));
	CHECK(known == 1, "nor would that last: %d", known);
	getsockopt(server, SOL_SOCKET, SO_REUSEADDR, &reuse, &bytes);
	CHECK(reuse == 1, "reading it leaves the socket's options as they were");
	quarantine_remove(&q, NULL);
	lifted_ns = clock_ns();
	CHECK(nudge_send(&nudge) > 0, "peers are asked");
	{
		struct pollfd p = {.fd = server, .events = POLLIN};
		uint64_t ms;

		poll(&p, 1, SOON_MS);
		ms = (clock_ns() - lifted_ns) / NS_PER_MS;
		CHECK(recv(server, &byte, 1, MSG_DONTWAIT) == 1 && ms < 900,
		      "the lost request comes %llu ms after the lift, not with the next step",
		      (unsigned long long)ms);
	}
	CHECK(arrives(server, client, SOON_MS) && arrives(client, server, SOON_MS),
	      "and the connection goes on");
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	nudge_close(&nudge);
	netlink_close(&diag);
	close(client);
	close(server);
	close(service);
}

#define ATTEMPTS_TEXT "5" /* of TCP before it ends a connection; 15 by default */
#define LONG_WINDOW_MS                                                                             \
	4700 /* more than 5 attempts at two a second, less than 5 with doubled pauses */
#define NEXT_ATTEMPT_MS 1000 /* at least: pauses of 0.2 to 3.2 s lead to 6.2 s */

/*
 * An answer was written when the quarantine was there already. A long window may not end its
 * connection (quarantine.h says how it could), and when it is over the answer leaves at once.
 */
static void test_patience(void)
{
	int service = listener(ours_ns, "10.9.0.1", SERVICE_PORT);
	int local = listener(ours_ns, "127.0.0.1", SERVICE_PORT + 1);
	int client, server, inner, inner_peer, error = 0;
	static struct netlink diag;
	static struct nudge nudge;
	socklen_t bytes = sizeof(error);
	struct pollfd p = {.events = POLLIN};
	uint8_t mac[MAC_BYTES];
	char byte = 'a';
	pid_t holder;

	own_mac(mac);
	write_text("/proc/sys/net/ipv4/tcp_retries2", ATTEMPTS_TEXT);
	client = connect_from(peer_ns, "10.9.0.1", SERVICE_PORT, SOON_MS);
	server = accept(service, NULL, NULL);
	inner = connect_from(ours_ns, "127.0.0.1", SERVICE_PORT + 1, SOON_MS);
	inner_peer = accept(local, NULL, NULL);
	CHECK(arrives(client, server, SOON_MS), "a connection");
	fflush(stdout);
	holder = fork();
	if (holder == 0) {
		for (;;)
			pause();
	}
	quarantine_install(&q, mac);
	CHECK(send(server, &byte, 1, 0) == 1, "an answer is written in the window");
	CHECK(arrives(inner, inner_peer, QUIET_MS), "within the machine connections go on");
	clock_sleep_ms(LONG_WINDOW_MS);
	getsockopt(server, SOL_SOCKET, SO_ERROR, &error, &bytes);
	CHECK(error == 0, "a long window ends no connection: %s", strerror(error));
	diag_open(&diag);
	nudge_open(&nudge);
	nudge_collect(&nudge, &diag, clock_deadline_ms(1000));
	quarantine_remove(&q, NULL);
	nudge_send(&nudge);
	p.fd = client;
	CHECK(poll(&p, 1, NEXT_ATTEMPT_MS) == 1 && recv(client, &byte, 1, 0) == 1 && byte == 'a',
	      "the answer leaves with the end of the window");
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	write_text("/proc/sys/net/ipv4/tcp_retries2", "15");
	nudge_close(&nudge);
	netlink_close(&diag);
	close(inner);
	close(inner_peer);
	close(client);
	close(server);
	close(local);
	close(service);
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

int main(void)
{
	const char *obstacle = make_namespaces();
	int error;

	if (!obstacle) {
		error = quarantine_prepare(&q, "mig");
		if (!error)
			error = quarantine_probe(&q);
		if (error)
			obstacle = "this kernel has no nftables at devices";
	}
	if (obstacle) {
		SKIP(obstacle);
	} else {
		test_quarantine();
		test_nudge();
		test_patience();
		test_rehome();
		test_single_nic();
		test_announce();
		test_guard();
	}
	if (peer_pid > 0) {
		kill(peer_pid, SIGKILL);
		waitpid(peer_pid, NULL, 0);
	}
	return test_end();
}
