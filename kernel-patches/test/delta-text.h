/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code of the kernel that differs between the two machines for a time: with a socket that wants
 * to know when packets arrive, a part of the code is another one.
 *
 * The source changes it after it was read for the first time. The target has it changed, too, when
 * that is loaded ahead, and changes it back before the jump: it has neither what it was
 * given first nor what it seemed to have in place.
 */
#ifndef SNAPSHOT_DELTA_TEXT_H
#define SNAPSHOT_DELTA_TEXT_H

#include "harness.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/time.h>

#define ARRIVED_BEFORE_US	400000
#define CODE_CHANGES_US		200000	/* a worker of the kernel does it */

static void loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	must(fd >= 0 && !ioctl(fd, SIOCSIFFLAGS, &ifr), "lo");
	close(fd);
}

static int change_code(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
	socklen_t size = sizeof(at);

	must(fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)) &&
	     !bind(fd, (struct sockaddr *)&at, sizeof(at)) &&
	     !getsockname(fd, (struct sockaddr *)&at, &size) &&
	     !connect(fd, (struct sockaddr *)&at, sizeof(at)), "socket");
	usleep(CODE_CHANGES_US);
	return fd;
}

static void change_code_back(int fd)
{
	close(fd);
	usleep(CODE_CHANGES_US);
}

/* Without the changed code the time is that of the call that receives. In us. */
static long arrived_before(int fd)
{
	char byte = 0, control[256];
	struct iovec vec = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &vec, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct timeval at, then, passed;
	struct cmsghdr *c;

	if (send(fd, &byte, 1, 0) != 1)
		fatal("send");
	usleep(ARRIVED_BEFORE_US);
	if (recvmsg(fd, &msg, 0) != 1)
		fatal("recvmsg");
	gettimeofday(&then, NULL);
	c = CMSG_FIRSTHDR(&msg);
	must(c && c->cmsg_type == SO_TIMESTAMP, "timestamp");
	memcpy(&at, CMSG_DATA(c), sizeof(at));
	timersub(&then, &at, &passed);
	return passed.tv_sec * 1000000L + passed.tv_usec;
}

static void check_code(int fd, const char *what)
{
	long us = arrived_before(fd);

	check(us >= ARRIVED_BEFORE_US, what, us);
}

#endif
