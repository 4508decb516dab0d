// SPDX-License-Identifier: GPL-2.0-only
#include "common/ownership.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/facts_lists.h"

#define SLOTS	       2
#define SLOT_BYTES     (OWNERSHIP_BYTES / SLOTS)
#define SLOT_MAGIC     "PMSMOWN"
#define SLOT_VERSION   1
#define UEVENT_BYTES   1024
#define PARTLABEL      "PARTLABEL="
#define LABEL_BYTES    64
#define ATTEMPT_DIGITS (2 * ATTEMPT_BYTES + 1)

/* As it lies on the disk, little-endian as all machines are that this program knows. */
struct slot {
	char magic[8];
	uint32_t version;
	uint32_t state;
	uint64_t sequence; /* the highest counts */
	uint64_t generation;
	uint8_t attempt[ATTEMPT_BYTES];
	char machine[64];
	uint32_t orchestrator_address;
	uint32_t orchestrator_port;
	uint64_t digest; /* XXH64 of all before it */
};
_Static_assert(sizeof(struct slot) == 128, "no padding");
_Static_assert(sizeof(struct slot) <= 512, "one sector, which a disk writes whole or not at all");

static uint8_t memory[OWNERSHIP_BYTES] __attribute__((aligned(4096)));

static uint64_t digest_of(const struct slot *slot)
{
	return XXH64(slot, offsetof(struct slot, digest), 0);
}

/* Not every file can bypass the cache: those of the tests on a tmpfs, say. */
static int open_device(const char *path, int flags)
{
	int fd = open(path, flags | O_DIRECT | O_SYNC | O_CLOEXEC);

	if (fd < 0 && errno == EINVAL)
		fd = open(path, flags | O_SYNC | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool slot_is_whole(const struct slot *slot)
{
	return memcmp(slot->magic, SLOT_MAGIC, sizeof(slot->magic)) == 0 &&
	       slot->version == SLOT_VERSION && slot->digest == digest_of(slot) &&
	       memchr(slot->machine, '\0', sizeof(slot->machine)) != NULL &&
	       (slot->state == OWNERSHIP_OWNED || slot->state == OWNERSHIP_MOVING);
}

static bool all_zero(const uint8_t *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (at[i])
			return false;
	return true;
}

/* The newest slot that is whole. */
static int read_newest(int fd, struct slot *newest)
{
	ssize_t n = pread(fd, memory, sizeof(memory), 0);
	bool found = false;

	if (n != (ssize_t)sizeof(memory))
		return n < 0 ? -errno : -ENOSPC;
	for (size_t i = 0; i < SLOTS; i++) {
		struct slot slot;

		memcpy(&slot, memory + i * SLOT_BYTES, sizeof(slot));
		if (!slot_is_whole(&slot) || (found && slot.sequence < newest->sequence))
			continue;
		*newest = slot;
		found = true;
	}
	if (found)
		return 0;
	return all_zero(memory, sizeof(memory)) ? -ENODATA : -EBADMSG;
}

int ownership_read(const char *path, struct ownership *o)
{
	int fd = open_device(path, O_RDONLY), error;
	struct slot slot;

	*o = (struct ownership){0};
	if (fd < 0)
		return fd;
	error = read_newest(fd, &slot);
	close(fd);
	if (error)
		return error;
	o->state = slot.state;
	o->id.generation = slot.generation;
	memcpy(o->id.attempt, slot.attempt, ATTEMPT_BYTES);
	copy_text(o->machine, sizeof(o->machine), slot.machine);
	o->orchestrator.address = slot.orchestrator_address;
	o->orchestrator.port = (uint16_t)slot.orchestrator_port;
	return 0;
}

static int write_slot(int fd, const struct slot *slot)
{
	off_t at = (off_t)(slot->sequence % SLOTS * SLOT_BYTES);
	ssize_t n;

	memset(memory, 0, SLOT_BYTES);
	memcpy(memory, slot, sizeof(*slot));
	n = pwrite(fd, memory, SLOT_BYTES, at);
	if (n != SLOT_BYTES)
		return n < 0 ? -errno : -EIO;
	return fdatasync(fd) < 0 ? -errno : 0;
}

int ownership_write(const char *path, const struct ownership *o)
{
	int fd = open_device(path, O_RDWR), error;
	struct slot last = {0}, slot = {.magic = SLOT_MAGIC,
					.version = SLOT_VERSION,
					.state = o->state,
					.generation = o->id.generation,
					.orchestrator_address = o->orchestrator.address,
					.orchestrator_port = o->orchestrator.port};

	if (fd < 0)
		return fd;
	error = read_newest(fd, &last);
	/* What is damaged is replaced as well: whoever writes knows better. */
	if (error == 0 || error == -ENODATA || error == -EBADMSG) {
		slot.sequence = last.sequence + 1;
		memcpy(slot.attempt, o->id.attempt, ATTEMPT_BYTES);
		copy_text(slot.machine, sizeof(slot.machine), o->machine);
		slot.digest = digest_of(&slot);
		error = write_slot(fd, &slot);
	}
	close(fd);
	return error;
}

/* Whether a line of a uevent file is KEY=value; the value is put into `value`. */
static bool uevent_value(const char *uevent, const char *key, char *value, size_t capacity)
{
	size_t key_bytes = strlen(key);

	for (const char *line = uevent; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, key_bytes) != 0)
			continue;
		copy_text(value, capacity, line + key_bytes);
		value[strcspn(value, "\n")] = '\0';
		return true;
	}
	return false;
}

static int find_label(char *path, size_t capacity, const char *label, const char *root)
{
	char pattern[256], uevent[UEVENT_BYTES], value[LABEL_BYTES];
	int error = -ENOENT;
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/sys/class/block/*/uevent", root);
	if (glob(pattern, 0, NULL, &found))
		return -ENOENT;
	for (size_t i = 0; error != -ENOTUNIQ && i < found.gl_pathc; i++) {
		if (!facts_read_file(found.gl_pathv[i], uevent, sizeof(uevent)) ||
		    !uevent_value(uevent, "PARTNAME=", value, sizeof(value)) ||
		    strcmp(value, label) != 0 ||
		    !uevent_value(uevent, "DEVNAME=", value, sizeof(value)))
			continue;
		snprintf(path, capacity, "%s/dev/%s", root, value);
		error = error ? 0 : -ENOTUNIQ;
	}
	globfree(&found);
	return error;
}

int ownership_find(char *path, size_t capacity, const char *where, const char *root)
{
	if (strncmp(where, PARTLABEL, strlen(PARTLABEL)) == 0)
		return find_label(path, capacity, where + strlen(PARTLABEL), root);
	if (strlen(where) >= capacity)
		return -ENAMETOOLONG;
	copy_text(path, capacity, where);
	return access(path, F_OK) == 0 ? 0 : -ENOENT;
}

void ownership_put(struct json *json, const struct ownership *o)
{
	char digits[ATTEMPT_DIGITS];

	for (size_t i = 0; i < ATTEMPT_BYTES; i++)
		snprintf(digits + 2 * i, 3, "%02x", o->id.attempt[i]);
	json_text(json, "state", o->state == OWNERSHIP_OWNED ? "owned" : "moving");
	json_text(json, "machine", o->machine);
	json_text(json, "attempt", digits);
	json_u64(json, "generation", o->id.generation);
}
