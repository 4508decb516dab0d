/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_FILESYSTEMS_H
#define PMSM_FILESYSTEMS_H

#include <sys/types.h>

#include "common/base.h"

#define FILESYSTEMS_MAX 256
#define FS_PATH_BYTES	1024

/* Every writable file system on a block device, in the order in which they are to be frozen. */
struct filesystem {
	dev_t device;
	int fd;
	int depth;	    /* how many file systems lie below it (loop devices), through devices */
	unsigned int order; /* of its first mount */
	bool frozen;	    /* by us */
	char type[24];
	char path[FS_PATH_BYTES];
};

struct filesystems {
	size_t count;
	struct filesystem list[FILESYSTEMS_MAX];
};

/*
 * Finds and opens them all, in every mount namespace. Innermost first: a file system in a file
 * (loop device) comes before the one that holds the file, else freezing it would wait for the
 * frozen one for ever. One that it cannot reach is an error: writeback would go on on its disk.
 */
int filesystems_scan(struct filesystems *filesystems, struct failure *failure);
void filesystems_close(struct filesystems *filesystems);

int filesystems_freeze(struct filesystems *filesystems, struct failure *failure);

/* Thaws what we froze, in reverse order. The number of file systems that refused. */
int filesystems_thaw(struct filesystems *filesystems);

/* Thaws every one that is frozen, whoever froze it; for recovery. The number that was frozen. */
int filesystems_thaw_any(struct filesystems *filesystems);

/*
 * Adds what the lines of a mountinfo name; `root` comes before the paths, `nodev` is the text of
 * /proc/filesystems. -E2BIG: too many, -ENAMETOOLONG: a path. For the tests too.
 */
int filesystems_parse(struct filesystems *filesystems, char *mountinfo, const char *root,
		      const char *nodev);
void filesystems_sort(struct filesystems *filesystems);

#endif
