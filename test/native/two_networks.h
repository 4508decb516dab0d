/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two networks of a test's own, with the real kernel between them:
 *
 *     ours:  svc 10.9.0.1/24    mig 10.9.1.1/24      (the machine that moves)
 *     peer:  psvc 10.9.0.2/24   pmig 10.9.1.2/24     (client, orchestrator)
 */
#ifndef PMSM_TEST_TWO_NETWORKS_H
#define PMSM_TEST_TWO_NETWORKS_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/quarantine.h"
#include "namespaces.h"
#include "test.h"

#define SERVICE_PORT 9000
#define QUIET_MS     250 /* longer than the first TCP retransmission */
#define SOON_MS	     4000

static int ours_ns, peer_ns;
static pid_t peer_pid;
static struct quarantine q;

__attribute__((format(printf, 1, 2))) static inline int run(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command);
}

static inline void enter(int ns)
{
	if (setns(ns, CLONE_NEWNET) < 0)
		abort();
}

/* A process that does nothing, but has what this one has open. */
static inline pid_t start_idle(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	return pid;
}

static inline void end_idle(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* NULL, or why it cannot be done here. */
static inline const char *make_namespaces(void)
{
	const char *obstacle = enter_own_namespaces();

	if (obstacle)
		return obstacle;
	peer_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	peer_pid = start_idle(); /* stands for the namespace in `ip ... netns PID` */
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

static inline struct sockaddr_in address(const char *text, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, text, &a.sin_addr);
	return a;
}

static inline int listener(int ns, const char *text, uint16_t port)
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
static inline int connect_from(int ns, const char *to, uint16_t port, int timeout_ms)
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

static inline bool arrives(int from, int to, int timeout_ms)
{
	struct pollfd p = {.fd = to, .events = POLLIN};
	char byte = 'x';

	(void)!send(from, &byte, 1, MSG_NOSIGNAL);
	return poll(&p, 1, timeout_ms) == 1 && recv(to, &byte, 1, 0) == 1;
}

static inline void own_mac(uint8_t *mac)
{
	static struct netlink route;
	static struct netdevs devices;

	rtnl_open(&route);
	rtnl_netdevs(&route, &devices);
	memcpy(mac, netdev_by_name(&devices, "mig")->mac, MAC_BYTES);
	netlink_close(&route);
}

/* `tests`, with a quarantine that is prepared; or one that is skipped, with the reason. Test's
 * exit. */
static inline int run_between_networks(void (*tests)(void))
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
	if (obstacle)
		SKIP(obstacle);
	else
		tests();
	if (peer_pid > 0)
		end_idle(peer_pid);
	return test_end();
}

#endif
