// SPDX-License-Identifier: GPL-2.0-only
/* Which PCI devices of a standby may not write to memory any more. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target/devices.h"
#include "test.h"

#define CONFIG_BYTES 64
#define COMMAND	     4
#define ALL_ON	     0x0507 /* I/O, memory, bus master; INTx off, SERR on */
#define NO_MASTER    0x0503

static char root[] = "/tmp/pmsm-devices-XXXXXX";

static void put(const char *device, const char *name, const void *bytes, size_t count)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/%s", root, device, name);
	f = fopen(path, "w");
	if (!f || fwrite(bytes, 1, count, f) != count || fclose(f))
		abort();
}

/* `class`: NULL if it cannot be read. */
static void make(const char *device, const char *class, unsigned int command, bool driver)
{
	uint8_t config[CONFIG_BYTES] = {[0] = 0x86,
					[1] = 0x80,
					[COMMAND] = (uint8_t)command,
					[COMMAND + 1] = (uint8_t)(command >> 8),
					[6] = 0x10};
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", root, device);
	if (mkdir(path, 0700))
		abort();
	put(device, "config", config, sizeof(config));
	if (class)
		put(device, "class", class, strlen(class));
	if (driver)
		put(device, "driver", "", 0);
}

static unsigned int command_of(const char *device)
{
	uint8_t config[CONFIG_BYTES] = {0};
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/config", root, device);
	f = fopen(path, "r");
	if (!f || fread(config, 1, sizeof(config), f) != sizeof(config) || config[0] != 0x86 ||
	    config[6] != 0x10)
		return 0;
	fclose(f);
	return config[COMMAND] | (unsigned int)config[COMMAND + 1] << 8;
}

int main(void)
{
	char command[64];

	if (!mkdtemp(root))
		return 2;
	make("0000:00:1f.2", "0x010601\n", ALL_ON, false);
	make("0000:00:03.0", "0x020000\n", ALL_ON, true);
	make("0000:00:04.0", "0x020000\n", NO_MASTER, false);
	make("0000:00:1c.0", "0x060400\n", ALL_ON, false);
	make("0000:00:02.0", "0x030000\n", ALL_ON, false);
	make("0000:00:05.0", NULL, ALL_ON, false);
	CHECK(devices_silence(root) == 1, "one of six devices has to be silenced");
	CHECK(command_of("0000:00:1f.2") == NO_MASTER,
	      "a disk controller without a driver: its bus mastering, and nothing else of it");
	CHECK(command_of("0000:00:03.0") == ALL_ON, "not what has a driver");
	CHECK(command_of("0000:00:04.0") == NO_MASTER, "nor what writes no memory anyway");
	CHECK(command_of("0000:00:1c.0") == ALL_ON, "nor a bridge");
	CHECK(command_of("0000:00:02.0") == ALL_ON, "nor what shows a picture");
	CHECK(command_of("0000:00:05.0") == ALL_ON, "nor what nobody knows");
	CHECK(devices_silence(root) == 0, "a second time there is nothing left to do");
	CHECK(devices_silence("/does/not/exist") == 0, "a machine without PCI has none");
	snprintf(command, sizeof(command), "rm -r %s", root);
	CHECK(system(command) == 0, "cleaned up");
	return test_end();
}
