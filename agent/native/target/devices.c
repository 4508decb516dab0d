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
#define CLASS_DISPLAY 0x03
#define CLASS_BRIDGE  0x06

static bool has_driver(const char *device)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/driver", device);
	return access(path, F_OK) == 0;
}

/* Of a device whose class cannot be read nothing is known, so it is left alone. */
static bool may_be_silenced(const char *device)
{
	char path[PATH_BYTES], text[32];
	unsigned long class;

	snprintf(path, sizeof(path), "%s/class", device);
	if (!facts_read_file(path, text, sizeof(text)))
		return false;
	class = strtoul(text, NULL, 16) >> CLASS_SHIFT;
	return class != CLASS_DISPLAY && class != CLASS_BRIDGE;
}

static bool silence(const char *device)
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

unsigned int devices_silence(const char *root)
{
	DIR *devices = opendir(root);
	const struct dirent *entry;
	unsigned int count = 0;

	while (devices && (entry = readdir(devices))) {
		char device[PATH_BYTES / 2];
		int length = snprintf(device, sizeof(device), "%s/%s", root, entry->d_name);

		if (entry->d_name[0] == '.' || length < 0 || (size_t)length >= sizeof(device))
			continue;
		if (!has_driver(device) && may_be_silenced(device) && silence(device)) {
			log_text("%s has no driver: it writes no memory any more", entry->d_name);
			count++;
		}
	}
	if (devices)
		closedir(devices);
	return count;
}
