// SPDX-License-Identifier: GPL-2.0-only
#include "target/devices.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/facts_lists.h"
#include "common/log.h"

#define PATH_BYTES    512
#define CLASS_SHIFT   16
#define CLASS_NONE    0x100
#define CLASS_STORAGE 0x01
#define CLASS_DISPLAY 0x03
#define CLASS_BRIDGE  0x06

static bool has_driver(const char *device)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/driver", device);
	return access(path, F_OK) == 0;
}

/* Of a device whose class cannot be read nothing is known, so it is left alone: CLASS_NONE. */
static unsigned long class_of(const char *device)
{
	char path[PATH_BYTES], text[32];

	snprintf(path, sizeof(path), "%s/class", device);
	if (!facts_read_file(path, text, sizeof(text)))
		return CLASS_NONE;
	return strtoul(text, NULL, 16) >> CLASS_SHIFT;
}

static bool turn_master_off(const char *device)
{
	char path[PATH_BYTES];
	uint8_t command[2];
	bool done = false;
	int fd;

	snprintf(path, sizeof(path), "%s/config", device);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (pread(fd, command, sizeof(command), PCI_COMMAND) == sizeof(command) &&
	    command[0] & PCI_COMMAND_MASTER) {
		command[0] &= (uint8_t)~PCI_COMMAND_MASTER;
		done = pwrite(fd, command, sizeof(command), PCI_COMMAND) == sizeof(command);
	}
	close(fd);
	return done;
}

static bool write_name(const char *path, const char *name)
{
	size_t bytes = strlen(name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done;

	if (fd < 0)
		return false;
	done = write(fd, name, bytes) == (ssize_t)bytes;
	close(fd);
	return done;
}

/* What is done with a device, and what the doer has to know; whether it was done. */
typedef bool device_fn(const char *device, const char *name, const char *context);

static unsigned int for_each_device(const char *root, device_fn *act, const char *context)
{
	DIR *devices = opendir(root);
	const struct dirent *entry;
	unsigned int count = 0;

	while (devices && (entry = readdir(devices))) {
		char device[PATH_BYTES / 2];
		int length = snprintf(device, sizeof(device), "%s/%s", root, entry->d_name);

		if (entry->d_name[0] == '.' || length < 0 || (size_t)length >= sizeof(device))
			continue;
		count += act(device, entry->d_name, context);
	}
	if (devices)
		closedir(devices);
	return count;
}

static bool silence(const char *device, const char *name, const char *context)
{
	unsigned long class = class_of(device);

	(void)context;
	if (has_driver(device) || class == CLASS_NONE || class == CLASS_DISPLAY ||
	    class == CLASS_BRIDGE || !turn_master_off(device))
		return false;
	log_text("%s has no driver: it writes no memory any more", name);
	return true;
}

unsigned int devices_silence(const char *root)
{
	return for_each_device(root, silence, NULL);
}

static bool release(const char *device, const char *name, const char *context)
{
	char path[PATH_BYTES];

	(void)context;
	snprintf(path, sizeof(path), "%s/driver/unbind", device);
	if (class_of(device) != CLASS_STORAGE || !has_driver(device) || !write_name(path, name))
		return false;
	/* Most drivers have done it already. */
	turn_master_off(device);
	return true;
}

static bool disk_is_mounted(const char *mounts)
{
	FILE *file = fopen(mounts, "re");
	char line[PATH_BYTES];
	bool mounted = !file, at_begin = true;

	while (!mounted && fgets(line, sizeof(line), file)) {
		mounted = at_begin && strncmp(line, "/dev/", 5) == 0;
		at_begin = strchr(line, '\n') != NULL;
	}
	if (file)
		fclose(file);
	return mounted;
}

unsigned int devices_release_disks(const char *root, const char *mounts)
{
	unsigned int count;

	if (disk_is_mounted(mounts)) {
		log_text("a disk is mounted here, so its driver stays");
		return 0;
	}
	count = for_each_device(root, release, NULL);
	if (count > 0)
		log_text("let go of %u disk controller(s)", count);
	return count;
}

static bool take_back(const char *device, const char *name, const char *probe)
{
	return class_of(device) == CLASS_STORAGE && !has_driver(device) && write_name(probe, name);
}

unsigned int devices_take_back_disks(const char *root, const char *probe)
{
	unsigned int count = for_each_device(root, take_back, probe);

	if (count > 0)
		log_text("looked for drivers of %u disk controller(s)", count);
	return count;
}
