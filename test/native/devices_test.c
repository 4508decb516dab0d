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

static const char *said_to(const char *name)
{
	static char text[64];
	char path[512];
	size_t count;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	f = fopen(path, "r");
	if (!f)
		return "no file";
	count = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[count] = '\0';
	return text;
}

/* A folder beside the devices would be taken for one, so what is not a device begins with a dot. */
static void put_beside(const char *name, const char *text)
{
	put(".", name, text, strlen(text));
}

static const char *beside(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static void make_bound(const char *device, const char *class)
{
	char path[512];

	make(device, class, ALL_ON, false);
	snprintf(path, sizeof(path), "%s/%s/driver", root, device);
	if (mkdir(path, 0700))
		abort();
	put(device, "driver/unbind", "", 0);
}

static unsigned int release_with(const char *mounts)
{
	put_beside(".mounts", mounts);
	return devices_release_disks(root, beside(".mounts"));
}

static void check_disks(void)
{
	make_bound("0000:01:00.0", "0x010802\n");
	make_bound("0000:02:00.0", "0x020000\n");
	CHECK(release_with("proc /proc proc rw 0 0\n/dev/sda1 /mnt ext4 rw 0 0\n") == 0,
	      "a disk that is mounted keeps its driver");
	CHECK(devices_release_disks(root, "/does/not/exist") == 0,
	      "nor is anything released if that cannot be known");
	CHECK(strcmp(said_to("0000:01:00.0/driver/unbind"), "") == 0, "nothing was unbound");
	CHECK(release_with("rootfs / rootfs rw 0 0\ndevtmpfs /dev devtmpfs rw 0 0\n") == 1,
	      "of two disk controllers and three network cards one disk controller has a driver");
	CHECK(strcmp(said_to("0000:01:00.0/driver/unbind"), "0000:01:00.0") == 0,
	      "its driver lets go of it");
	CHECK(command_of("0000:01:00.0") == NO_MASTER, "and it writes no memory any more");
	CHECK(strcmp(said_to("0000:02:00.0/driver/unbind"), "") == 0, "a network card stays");
	CHECK(command_of("0000:02:00.0") == ALL_ON, "and works");
	put_beside(".probe", "");
	CHECK(devices_take_back_disks(root, beside(".probe")) == 1,
	      "a driver is looked for where a disk controller has none");
	CHECK(strcmp(said_to(".probe"), "0000:00:1f.2") == 0, "by the name of the device");
	CHECK(devices_take_back_disks(root, "/does/not/exist") == 0, "a kernel without PCI");
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
	check_disks();
	snprintf(command, sizeof(command), "rm -r %s", root);
	CHECK(system(command) == 0, "cleaned up");
	return test_end();
}
