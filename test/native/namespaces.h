/* SPDX-License-Identifier: GPL-2.0-only */
/* Mounts and networks of a test's own, so that it changes nothing of the machine that it runs on.
 */
#ifndef PMSM_TEST_NAMESPACES_H
#define PMSM_TEST_NAMESPACES_H

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static inline void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd >= 0) {
		(void)!write(fd, text, strlen(text));
		close(fd);
	}
}

/* An empty /run and a network without devices. NULL, or why it cannot be done here. */
static inline const char *enter_own_namespaces(void)
{
	uid_t uid = getuid();
	char map[32];

	if (uid != 0) {
		if (unshare(CLONE_NEWUSER) < 0)
			return "user namespaces are not allowed";
		write_text("/proc/self/setgroups", "deny");
		snprintf(map, sizeof(map), "0 %u 1", uid);
		write_text("/proc/self/uid_map", map);
		write_text("/proc/self/gid_map", map);
	}
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("run", "/run", "tmpfs", 0, NULL) < 0)
		return "mount namespaces are not allowed";
	if (unshare(CLONE_NEWNET) < 0)
		return "network namespaces are not allowed";
	return NULL;
}

#endif
