// SPDX-License-Identifier: GPL-2.0-only
#include "source/nudge.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/sockets.h"

/* As many steps of back-off as an outage of some seconds makes. */
#define STEPS		   5
#define REPAIR_OFF_QUIETLY -1 /* TCP_REPAIR_OFF_NO_WP: without a probe on the wire */
#define QUOTED_TCP_BYTES   8

/* A descriptor for every connection, beside our own. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= 2 * NUDGE_MAX)
		return;
	limit.rlim_cur = limit.rlim_max < 2 * NUDGE_MAX ? limit.rlim_max : 2 * NUDGE_MAX;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int nudge_open(struct nudge *nudge)
{
	nudge->count = nudge->owners_count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(nudge->own_fds); i++)
		nudge->own_fds[i] = -1;
	raise_descriptor_limit();
	nudge->raw4 = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);
	nudge->raw6 = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMPV6);
	return nudge->raw4 < 0 ? -errno : 0;
}

static void let_go(struct nudge *nudge)
{
	for (size_t i = 0; i < nudge->count; i++)
		if (nudge->list[i].fd >= 0)
			close(nudge->list[i].fd);
	nudge->count = 0;
}

void nudge_close(struct nudge *nudge)
{
	let_go(nudge);
	if (nudge->raw4 >= 0)
		close(nudge->raw4);
	if (nudge->raw6 >= 0)
		close(nudge->raw6);
	nudge->raw4 = nudge->raw6 = -1;
}

static bool is_mapped(const uint8_t *address)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(address, prefix, sizeof(prefix)) == 0;
}

static void note(const struct nlmsghdr *message, void *context)
{
	const struct inet_diag_msg *m = NLMSG_DATA(message);
	struct nudge *nudge = context;
	struct nudged *n = &nudge->list[nudge->count];

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*m)) || nudge->count == NUDGE_MAX ||
	    m->idiag_inode == 0)
		return;
	*n = (struct nudged){.family = m->idiag_family,
			     .local_port = m->id.idiag_sport,
			     .peer_port = m->id.idiag_dport,
			     .inode = m->idiag_inode,
			     .fd = -1};
	memcpy(n->local, m->id.idiag_src, sizeof(n->local));
	memcpy(n->peer, m->id.idiag_dst, sizeof(n->peer));
	if (n->family == AF_INET6 && is_mapped(n->peer)) {
		/* A server on [::] with a client that came by IPv4. */
		n->family = AF_INET;
		memmove(n->local, n->local + 12, 4);
		memmove(n->peer, n->peer + 12, 4);
	}
	if (n->family == AF_INET && n->peer[0] == 127)
		return;
	if (n->family == AF_INET6 && memcmp(n->local, n->peer, sizeof(n->local)) == 0)
		return;
	nudge->count++;
}

static int list_connections(struct nudge *nudge, struct netlink *diag)
{
	const uint32_t states = 1u << TCP_ESTABLISHED | 1u << TCP_FIN_WAIT1 | 1u << TCP_FIN_WAIT2 |
				1u << TCP_CLOSE_WAIT;

	return diag_dump(diag, states, note, nudge);
}

/* Reads what the connection awaits next; leaves the socket as it was. */
static bool read_awaited(int fd, uint32_t *awaited)
{
	int on = 1, quietly_off = REPAIR_OFF_QUIETLY, queue = TCP_RECV_QUEUE, reuse = 0;
	socklen_t reuse_bytes = sizeof(reuse), bytes = sizeof(*awaited);
	bool ok;

	/* Repair mode changes this option, so it is put back. */
	getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, &reuse_bytes);
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0)
		return false;
	ok = setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) == 0 &&
	     getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, awaited, &bytes) == 0;
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &quietly_off, sizeof(quietly_off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
	return ok;
}

static struct nudged *by_inode(struct nudge *nudge, uint32_t inode)
{
	for (size_t i = 0; i < nudge->count; i++)
		if (nudge->list[i].inode == inode)
			return &nudge->list[i];
	return NULL;
}

/* What is done with the descriptor of a connection that was found. 1: it need not be looked for. */
typedef int found_fn(struct nudged *connection, int pid, int number);

static int learn_owner(struct nudged *connection, int pid, int number)
{
	connection->settled = true;
	connection->owner = pid;
	connection->owner_fd = number;
	return 1;
}

static int take_duplicate(struct nudged *connection, int pid, int number)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), fd = -1;
	struct stat st;

	if (pidfd >= 0) {
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
		close(pidfd);
	}
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode) ||
	    (uint32_t)st.st_ino != connection->inode || !read_awaited(fd, &connection->awaited)) {
		close(fd);
		return 0;
	}
	connection->fd = fd;
	connection->settled = true;
	return 1;
}

static int ask_descriptor(struct nudge *nudge, int pid, int directory, const char *name,
			  found_fn *found)
{
	struct nudged *connection;
	char target[64];
	ssize_t n = readlinkat(directory, name, target, sizeof(target) - 1);

	if (n <= 0)
		return 0;
	target[n] = '\0';
	if (strncmp(target, "socket:[", 8) != 0)
		return 0;
	connection = by_inode(nudge, (uint32_t)strtoul(target + 8, NULL, 10));
	if (!connection || connection->settled)
		return 0;
	return found(connection, pid, atoi(name));
}

static size_t ask_process(struct nudge *nudge, int pid, uint64_t deadline_ns, found_fn *found)
{
	char path[32];
	struct dirent *entry;
	size_t count = 0;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	fds = opendir(path);
	while (fds && (entry = readdir(fds)) && clock_ns() < deadline_ns)
		if (isdigit((unsigned char)entry->d_name[0]))
			count +=
			    (size_t)ask_descriptor(nudge, pid, dirfd(fds), entry->d_name, found);
	if (fds)
		closedir(fds);
	return count;
}

/* Goes through all processes, unless there are no more connections to look for. */
static size_t ask_everybody(struct nudge *nudge, size_t known, uint64_t deadline_ns,
			    found_fn *found)
{
	struct dirent *entry;
	DIR *proc = NULL;

	if (known < nudge->count)
		proc = opendir("/proc");
	while (proc && known < nudge->count && (entry = readdir(proc)) && clock_ns() < deadline_ns)
		if (isdigit((unsigned char)entry->d_name[0]) && atoi(entry->d_name) != getpid())
			known += ask_process(nudge, atoi(entry->d_name), deadline_ns, found);
	if (proc)
		closedir(proc);
	return known;
}

/* All connections; ours are settled. The number of these, or -errno. */
static int list_all(struct nudge *nudge, struct netlink *diag)
{
	int error, own = 0;

	let_go(nudge);
	error = list_connections(nudge, diag);
	for (size_t i = 0; !error && i < ARRAY_SIZE(nudge->own_fds); i++) {
		struct nudged *connection = NULL;
		struct stat st;

		if (nudge->own_fds[i] >= 0 && fstat(nudge->own_fds[i], &st) == 0)
			connection = by_inode(nudge, (uint32_t)st.st_ino);
		if (connection && !connection->settled) {
			connection->settled = true;
			own++;
		}
	}
	return error ? error : own;
}

int nudge_learn(struct nudge *nudge, struct netlink *diag, uint64_t deadline_ns)
{
	int own = list_all(nudge, diag);

	nudge->owners_count = 0;
	if (own < 0)
		return own;
	ask_everybody(nudge, (size_t)own, deadline_ns, learn_owner);
	for (size_t i = 0; i < nudge->count; i++) {
		const struct nudged *c = &nudge->list[i];

		if (c->owner)
			nudge->owners[nudge->owners_count++] = (struct nudge_owner){
			    .inode = c->inode, .pid = c->owner, .fd = c->owner_fd};
	}
	let_go(nudge);
	return (int)nudge->owners_count;
}

int nudge_collect(struct nudge *nudge, struct netlink *diag, uint64_t deadline_ns)
{
	int own = list_all(nudge, diag);
	size_t known;

	if (own < 0)
		return own;
	known = (size_t)own;
	for (size_t i = 0; i < nudge->owners_count && clock_ns() < deadline_ns; i++) {
		const struct nudge_owner *owner = &nudge->owners[i];
		struct nudged *connection = by_inode(nudge, owner->inode);

		if (connection && !connection->settled)
			known += (size_t)take_duplicate(connection, owner->pid, owner->fd);
	}
	known = ask_everybody(nudge, known, deadline_ns, take_duplicate);
	return (int)known - own;
}

static uint16_t checksum(const uint8_t *data, size_t bytes)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < bytes; i += 2)
		sum += (uint32_t)(data[i] << 8 | data[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* The beginning of the segment that the peer has outstanding, as it would have arrived here. */
static void quote_segment(uint8_t *to, const struct nudged *n)
{
	uint32_t sequence = htonl(n->awaited);

	memcpy(to, &n->peer_port, 2);
	memcpy(to + 2, &n->local_port, 2);
	memcpy(to + 4, &sequence, 4);
}

size_t nudge_message(uint8_t *message, const struct nudged *n)
{
	size_t quote;

	memset(message, 0, NUDGE_MESSAGE_BYTES);
	if (n->family == AF_INET) {
		struct icmphdr icmp = {.type = ICMP_DEST_UNREACH, .code = ICMP_HOST_UNREACH};
		struct iphdr ip = {.version = 4,
				   .ihl = 5,
				   .tot_len = htons(sizeof(ip) + sizeof(struct tcphdr)),
				   .ttl = 64,
				   .protocol = IPPROTO_TCP};

		memcpy(&ip.saddr, n->peer, 4);
		memcpy(&ip.daddr, n->local, 4);
		ip.check = checksum((uint8_t *)&ip, sizeof(ip));
		quote = sizeof(icmp) + sizeof(ip);
		memcpy(message + sizeof(icmp), &ip, sizeof(ip));
		quote_segment(message + quote, n);
		icmp.checksum = 0;
		memcpy(message, &icmp, sizeof(icmp));
		icmp.checksum = checksum(message, quote + QUOTED_TCP_BYTES);
		memcpy(message, &icmp, sizeof(icmp));
	} else {
		struct icmp6_hdr icmp = {.icmp6_type = ICMP6_DST_UNREACH,
					 .icmp6_code = ICMP6_DST_UNREACH_NOROUTE};
		struct ip6_hdr ip = {.ip6_flow = htonl(6u << 28),
				     .ip6_plen = htons(sizeof(struct tcphdr)),
				     .ip6_nxt = IPPROTO_TCP,
				     .ip6_hlim = 64};

		memcpy(&ip.ip6_src, n->peer, 16);
		memcpy(&ip.ip6_dst, n->local, 16);
		quote = sizeof(icmp) + sizeof(ip);
		memcpy(message, &icmp, sizeof(icmp)); /* its checksum is the kernel's business */
		memcpy(message + sizeof(icmp), &ip, sizeof(ip));
		quote_segment(message + quote, n);
	}
	return quote + QUOTED_TCP_BYTES;
}

static bool send_one(const struct nudge *nudge, const struct nudged *n)
{
	struct sockaddr_in to4 = {.sin_family = AF_INET};
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
	uint8_t message[NUDGE_MESSAGE_BYTES];
	size_t bytes = nudge_message(message, n);

	if (n->family == AF_INET) {
		memcpy(&to4.sin_addr, n->peer, 4);
		return sendto(nudge->raw4, message, bytes, 0, (struct sockaddr *)&to4,
			      sizeof(to4)) > 0;
	}
	memcpy(&to6.sin6_addr, n->peer, 16);
	return sendto(nudge->raw6, message, bytes, 0, (struct sockaddr *)&to6, sizeof(to6)) > 0;
}

/* What the process wrote and the quarantine kept goes out; a real cork stays. */
static void push_waiting(int fd)
{
	int corked = 0, off = 0;
	socklen_t bytes = sizeof(corked);

	if (getsockopt(fd, IPPROTO_TCP, TCP_CORK, &corked, &bytes) == 0 && !corked)
		setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
}

int nudge_send(struct nudge *nudge)
{
	int sent = 0;

	for (size_t i = 0; i < nudge->count; i++) {
		if (nudge->list[i].fd < 0)
			continue;
		push_waiting(nudge->list[i].fd);
		for (int step = 0; step < STEPS; step++)
			sent += send_one(nudge, &nudge->list[i]);
	}
	let_go(nudge);
	return sent;
}
