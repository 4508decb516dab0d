// SPDX-License-Identifier: GPL-2.0-only
#include "source/filesystems.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/log.h"

#define MOUNTINFO_BYTES (1 << 20)
#define NAMESPACES_MAX	1024
#define SCAN_ATTEMPTS	5
#define DEPTH_MAX	8

/* Spaces and the like are octal in mountinfo. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
			*to++ =
			    (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* /proc/filesystems marks with "nodev" the types that need no block device. */
static bool is_block_backed(const char *nodev, const char *type)
{
	size_t n = strlen(type);

	for (const char *line = nodev; line && *line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (line[0] == '\t' && strncmp(line + 1, type, n) == 0 &&
		    (line[n + 1] == '\n' || line[n + 1] == '\0'))
			return true;
	}
	return false;
}

static bool has_option(const char *options, const char *wanted)
{
	size_t n = strlen(wanted);

	for (; options; options = strchr(options, ',')) {
		if (*options == ',')
			options++;
		if (strncmp(options, wanted, n) == 0 && (options[n] == ',' || options[n] == '\0'))
			return true;
	}
	return false;
}

/*
 * One line: id parent major:minor root path options [tags] - type device super-options. 1: it has a
 * file system of ours.
 */
static int parse_line(char *line, struct filesystem *fs, const char *root, const char *nodev)
{
	char *fields[6], *rest, *save = NULL, *type, *super;
	char *separator = strstr(line, " - ");
	unsigned int major_number, minor_number;

	if (!separator)
		return 0;
	*separator = '\0';
	rest = line;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++, rest = NULL) {
		fields[i] = strtok_r(rest, " ", &save);
		if (!fields[i])
			return 0;
	}
	type = strtok_r(separator + 3, " ", &save);
	super = type ? strtok_r(NULL, " ", &save) : NULL;
	super = super ? strtok_r(NULL, " ", &save) : NULL;
	if (!super || sscanf(fields[2], "%u:%u", &major_number, &minor_number) != 2)
		return 0;
	/* The superblock counts, not the mount: it may be mounted writable elsewhere as well. */
	if (!has_option(super, "rw") || !is_block_backed(nodev, type))
		return 0;
	unescape(fields[4]);
	if (strlen(root) + strlen(fields[4]) >= FS_PATH_BYTES)
		return -ENAMETOOLONG;
	*fs = (struct filesystem){.device = makedev(major_number, minor_number), .fd = -1};
	copy_text(fs->type, sizeof(fs->type), type);
	snprintf(fs->path, sizeof(fs->path), "%s%s", root, fields[4]);
	return 1;
}

static struct filesystem *by_device(struct filesystems *all, dev_t device)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->list[i].device == device)
			return &all->list[i];
	return NULL;
}

int filesystems_parse(struct filesystems *all, char *mountinfo, const char *root, const char *nodev)
{
	unsigned int order = all->count ? all->list[all->count - 1].order : 0;
	char *line, *save = NULL;
	int error = 0;

	for (line = strtok_r(mountinfo, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct filesystem fs;
		int ours = parse_line(line, &fs, root, nodev);

		order++;
		if (ours < 0)
			error = ours; /* recovery wants to know of the others all the same */
		/* The first mount decides the order, any path will do. */
		if (ours <= 0 || by_device(all, fs.device))
			continue;
		if (all->count == FILESYSTEMS_MAX)
			return -E2BIG;
		fs.order = order;
		all->list[all->count++] = fs;
	}
	return error;
}

static int read_file(const char *path, char *text, size_t capacity)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;
	size_t have = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	while (have < capacity - 1 && (n = read(fd, text + have, capacity - 1 - have)) > 0)
		have += (size_t)n;
	if (n < 0)
		error = -errno;
	close(fd);
	text[have] = '\0';
	if (!error && have == capacity - 1)
		error = -EFBIG;
	return error;
}

/* How many file systems lie below a block device: 1 for a loop device on a plain disk. */
static int device_depth(dev_t device, int limit)
{
	char path[128], text[512];
	struct stat st;

	if (limit == 0)
		return 0;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/loop/backing_file", major(device),
		 minor(device));
	if (read_file(path, text, sizeof(text))) {
		/* A partition of a loop device has it one step up. */
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../loop/backing_file",
			 major(device), minor(device));
		if (read_file(path, text, sizeof(text)))
			return 0;
	}
	text[strcspn(text, "\n")] = '\0';
	if (stat(text, &st) < 0)
		return 1;
	return 1 + device_depth(st.st_dev, limit - 1);
}

static int compare(const void *a, const void *b)
{
	const struct filesystem *x = a, *y = b;

	if (x->depth != y->depth)
		return y->depth - x->depth;
	return x->order < y->order ? 1 : -1;
}

void filesystems_sort(struct filesystems *all)
{
	qsort(all->list, all->count, sizeof(all->list[0]), compare);
}

/* Mount namespaces that were seen, by the inode of /proc/PID/ns/mnt. */
struct namespaces {
	size_t count;
	ino_t inodes[NAMESPACES_MAX];
};

/* 1: it has not been seen before. */
static int is_new(struct namespaces *seen, const char *directory)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "%s/ns/mnt", directory);
	/* A process may end at any moment. */
	if (stat(path, &st) < 0)
		return 0;
	for (size_t i = 0; i < seen->count; i++)
		if (seen->inodes[i] == st.st_ino)
			return 0;
	if (seen->count == NAMESPACES_MAX)
		return -E2BIG;
	seen->inodes[seen->count++] = st.st_ino;
	return 1;
}

static int scan_namespace(struct filesystems *all, const char *directory, const char *root,
			  char *buffer, const char *types)
{
	char path[64];
	int error;

	snprintf(path, sizeof(path), "%s/mountinfo", directory);
	error = read_file(path, buffer, MOUNTINFO_BYTES);
	return error ? error : filesystems_parse(all, buffer, root, types);
}

/* What is mounted in containers and in services' own namespaces only. */
static int scan_others(struct filesystems *all, struct namespaces *seen, char *buffer,
		       const char *types)
{
	char directory[32], root[48];
	struct dirent *entry;
	int error, first = 0;
	DIR *proc = opendir("/proc");

	while (proc && (entry = readdir(proc))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(directory, sizeof(directory), "/proc/%.20s", entry->d_name);
		snprintf(root, sizeof(root), "%s/root", directory);
		error = is_new(seen, directory);
		if (error == 1)
			error = scan_namespace(all, directory, root, buffer, types);
		/* It has ended: whoever else is in its namespace is asked later. */
		if (error == -ENOENT || error == -ESRCH || error == -EINVAL)
			error = 0;
		if (!first)
			first = error;
	}
	if (proc)
		closedir(proc);
	return first;
}

static int scan_mounts(struct filesystems *all)
{
	struct namespaces *seen = calloc(1, sizeof(*seen));
	char *buffer = malloc(MOUNTINFO_BYTES);
	char types[8192];
	int error = -ENOMEM;

	all->count = 0;
	if (seen && buffer) {
		error = read_file("/proc/filesystems", types, sizeof(types));
		is_new(seen, "/proc/self");
		if (!error)
			error = scan_namespace(all, "/proc/self", "", buffer, types);
		if (!error)
			error = scan_others(all, seen, buffer, types);
	}
	free(buffer);
	free(seen);
	return error;
}

/*
 * A path leads to what was mounted there last, which may be something else. Subvolumes of btrfs
 * have numbers of their own.
 */
static bool is_reached(const struct filesystem *fs)
{
	struct stat st;

	return fstat(fs->fd, &st) == 0 &&
	       (st.st_dev == fs->device || strcmp(fs->type, "btrfs") == 0);
}

/* Sorts them and opens all that can be. The first that cannot, with errno, or NULL. */
static const struct filesystem *open_all(struct filesystems *all)
{
	const struct filesystem *refused = NULL;
	int error = 0;

	/* In order, whatever is refused: recovery thaws the rest, and a wrong order would hang it.
	 */
	for (size_t i = 0; i < all->count; i++)
		all->list[i].depth = device_depth(all->list[i].device, DEPTH_MAX);
	filesystems_sort(all);
	for (size_t i = 0; i < all->count; i++) {
		struct filesystem *fs = &all->list[i];
		int why = 0;

		fs->fd = open(fs->path, O_RDONLY | O_CLOEXEC);
		if (fs->fd < 0)
			why = errno;
		else if (!is_reached(fs))
			why = EXDEV;
		if (why && !refused) {
			refused = fs;
			error = why;
		}
	}
	errno = error;
	return refused;
}

int filesystems_scan(struct filesystems *all, struct failure *failure)
{
	const struct filesystem *refused = NULL;
	int error = 0, why = 0;

	/* A process may end between being listed and being asked: then look again. */
	for (int i = 0; i < SCAN_ATTEMPTS; i++) {
		filesystems_close(all);
		error = scan_mounts(all);
		refused = open_all(all);
		why = errno;
		if (error)
			return failure_set(failure, PMSM_E_FILESYSTEM_FREEZE_FAILED, error,
					   "cannot list the mounted file systems: %s",
					   strerror(-error));
		if (!refused)
			return 0;
	}
	return failure_set(failure, PMSM_E_FILESYSTEM_FREEZE_FAILED, why, "cannot open %s: %s",
			   refused->path,
			   why == EXDEV ? "something else is mounted over it" : strerror(why));
}

void filesystems_close(struct filesystems *all)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->list[i].fd >= 0)
			close(all->list[i].fd);
	all->count = 0;
}

int filesystems_freeze(struct filesystems *all, struct failure *failure)
{
	for (size_t i = 0; i < all->count; i++) {
		struct filesystem *fs = &all->list[i];

		if (ioctl(fs->fd, FIFREEZE, 0) == 0) {
			fs->frozen = true;
			continue;
		}
		if (errno == EBUSY)
			continue; /* frozen by somebody else, who will thaw it */
		return failure_set(failure, PMSM_E_FILESYSTEM_FREEZE_FAILED, errno, "%s (%s): %s",
				   fs->path, fs->type, strerror(errno));
	}
	return 0;
}

int filesystems_thaw(struct filesystems *all)
{
	int refused = 0;

	for (size_t i = all->count; i > 0; i--) {
		struct filesystem *fs = &all->list[i - 1];

		if (!fs->frozen)
			continue;
		if (ioctl(fs->fd, FITHAW, 0) < 0) {
			log_text("cannot thaw %s: %s", fs->path, strerror(errno));
			refused++;
		}
		fs->frozen = false;
	}
	return refused;
}

int filesystems_thaw_any(struct filesystems *all)
{
	int thawed = 0;

	for (size_t i = all->count; i > 0; i--)
		if (all->list[i - 1].fd >= 0 && ioctl(all->list[i - 1].fd, FITHAW, 0) == 0) {
			log_text("thawed %s", all->list[i - 1].path);
			thawed++;
		}
	return thawed;
}
