// SPDX-License-Identifier: GPL-2.0-only
#include "common/facts_lists.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/link.h"
#include "common/rtnl.h"

#define MAP_ENTRIES_MAX 512
#define CPU_FLAGS_MAX	512
#define PCI_MAX		256
#define NETWORK_MAX	64
#define PATH_BYTES	300

bool facts_read_file(const char *path, char *text, size_t capacity)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n = 0;

	if (fd < 0)
		return false;
	while (have < capacity - 1 && (n = read(fd, text + have, capacity - 1 - have)) > 0)
		have += (size_t)n;
	close(fd);
	text[have] = '\0';
	return n >= 0 && have > 0;
}

uint64_t facts_present_pages(void)
{
	char line[256];
	unsigned long long pages, sum = 0;
	FILE *f = fopen("/proc/zoneinfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " present %llu", &pages) == 1)
			sum += pages;
	if (f)
		fclose(f);
	return sum;
}

uint64_t facts_image_ram_bytes(void)
{
	char text[32];

	return facts_read_file("/sys/power/image_ram", text, sizeof(text))
		   ? strtoull(text, NULL, 10)
		   : 0;
}

struct map_entry {
	uint64_t start, end;
	char type[48];
};

static bool read_number(const char *directory, const char *name, uint64_t *value)
{
	char path[PATH_BYTES + 64], text[64];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (!facts_read_file(path, text, sizeof(text)))
		return false;
	*value = strtoull(text, NULL, 0);
	return true;
}

static bool read_word(const char *directory, const char *name, char *text, size_t capacity)
{
	char path[PATH_BYTES + 64];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (!facts_read_file(path, text, capacity))
		return false;
	text[strcspn(text, "\n")] = '\0';
	return true;
}

static int compare_entries(const void *a, const void *b)
{
	const struct map_entry *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return strcmp(x->type, y->type);
}

static size_t read_memory_map(struct map_entry *entries)
{
	char path[PATH_BYTES];
	size_t count;

	for (count = 0; count < MAP_ENTRIES_MAX; count++) {
		struct map_entry *e = &entries[count];

		memset(e, 0, sizeof(*e));
		snprintf(path, sizeof(path), "/sys/firmware/memmap/%zu", count);
		if (!read_number(path, "start", &e->start) || !read_number(path, "end", &e->end) ||
		    !read_word(path, "type", e->type, sizeof(e->type)))
			break;
	}
	qsort(entries, count, sizeof(*entries), compare_entries);
	return count;
}

void facts_put_memory_map(struct json *json)
{
	static struct map_entry entries[MAP_ENTRIES_MAX];
	size_t count = read_memory_map(entries);

	json_open(json, "map", '[');
	for (size_t i = 0; i < count; i++) {
		json_open(json, NULL, '{');
		json_hex64(json, "start", entries[i].start);
		json_hex64(json, "end", entries[i].end);
		json_text(json, "type", entries[i].type);
		json_close(json, '}');
	}
	json_close(json, ']');
	if (count)
		json_hex64(json, "map_digest", digest_bytes(entries, count * sizeof(*entries)));
	else
		json_null(json, "map_digest");
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Flags in alphabetical order: the kernel's order has no meaning. */
static void put_flags(struct json *json, char *line)
{
	static char joined[8192];
	char *flags[CPU_FLAGS_MAX], *save = NULL;
	size_t count = 0, used = 0;

	for (char *word = strtok_r(line, " \n", &save); word && count < CPU_FLAGS_MAX;
	     word = strtok_r(NULL, " \n", &save))
		flags[count++] = word;
	qsort(flags, count, sizeof(flags[0]), compare_words);
	json_open(json, "flags", '[');
	for (size_t i = 0; i < count; i++) {
		int n = snprintf(joined + used, sizeof(joined) - used, "%s ", flags[i]);

		if (n > 0 && (size_t)n < sizeof(joined) - used)
			used += (size_t)n;
		json_text(json, NULL, flags[i]);
	}
	json_close(json, ']');
	json_hex64(json, "flags_digest", digest_bytes(joined, used));
}

static char *value_of(char *line, const char *key)
{
	char *colon;

	if (strncmp(line, key, strlen(key)) != 0)
		return NULL;
	colon = strchr(line, ':');
	if (!colon || (line[strlen(key)] != '\t' && line[strlen(key)] != ' '))
		return NULL;
	colon += strspn(colon, ": ");
	colon[strcspn(colon, "\n")] = '\0';
	return colon;
}

void facts_put_cpu(struct json *json)
{
	static char line[8192];
	FILE *f = fopen("/proc/cpuinfo", "re");
	uint64_t count = 0;
	char *value;

	json_open(json, "cpu", '{');
	while (f && fgets(line, sizeof(line), f)) {
		if (value_of(line, "processor"))
			count++;
		if (count != 1)
			continue;
		if ((value = value_of(line, "vendor_id")))
			json_text(json, "vendor", value);
		else if ((value = value_of(line, "model name")))
			json_text(json, "name", value);
		else if ((value = value_of(line, "cpu family")))
			json_u64(json, "family", strtoull(value, NULL, 10));
		else if ((value = value_of(line, "model")))
			json_u64(json, "model", strtoull(value, NULL, 10));
		else if ((value = value_of(line, "stepping")))
			json_u64(json, "stepping", strtoull(value, NULL, 10));
		else if ((value = value_of(line, "microcode")))
			json_text(json, "microcode", value);
		else if ((value = value_of(line, "flags")))
			put_flags(json, value);
	}
	if (f)
		fclose(f);
	json_u64(json, "count", count);
	json_u64(json, "cycles_khz", clock_cycles_khz());
	json_close(json, '}');
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

void facts_put_pci(struct json *json)
{
	struct dirent **entries = NULL;
	int count = scandir("/sys/bus/pci/devices", &entries, visible, by_name);
	char path[PATH_BYTES], text[32];

	json_open(json, "pci", '[');
	for (int i = 0; i < count; i++) {
		if (i < PCI_MAX) {
			snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.64s",
				 entries[i]->d_name);
			json_open(json, NULL, '{');
			json_text(json, "slot", entries[i]->d_name);
			if (read_word(path, "vendor", text, sizeof(text)))
				json_text(json, "vendor", text);
			if (read_word(path, "device", text, sizeof(text)))
				json_text(json, "device", text);
			if (read_word(path, "class", text, sizeof(text)))
				json_text(json, "class", text);
			json_close(json, '}');
		}
		free(entries[i]);
	}
	free(entries);
	json_close(json, ']');
}

static void put_netdev(struct json *json, const struct netdev *device)
{
	static const uint8_t none[MAC_BYTES];
	char path[PATH_BYTES], text[32];
	long speed = -1;

	json_open(json, NULL, '{');
	json_text(json, "name", device->name);
	mac_format(text, device->mac);
	json_text(json, "mac", text);
	if (memcmp(device->permanent_mac, none, MAC_BYTES) != 0) {
		mac_format(text, device->permanent_mac);
		json_text(json, "permanent_mac", text);
	} else {
		json_null(json, "permanent_mac");
	}
	json_bool(json, "up", device->flags & IFF_UP);
	json_bool(json, "carrier", device->flags & IFF_LOWER_UP);
	snprintf(path, sizeof(path), "/sys/class/net/%s", device->name);
	if (read_word(path, "speed", text, sizeof(text)))
		speed = strtol(text, NULL, 10);
	if (speed > 0)
		json_u64(json, "speed_mbps", (uint64_t)speed);
	else
		json_null(json, "speed_mbps");
	json_close(json, '}');
}

void facts_put_network(struct json *json)
{
	static struct netlink route;
	static struct netdevs devices;

	json_open(json, "network", '[');
	if (rtnl_open(&route) == 0) {
		if (rtnl_netdevs(&route, &devices) == 0)
			for (size_t i = 0; i < devices.count && i < NETWORK_MAX; i++)
				if (!(devices.devices[i].flags & IFF_LOOPBACK))
					put_netdev(json, &devices.devices[i]);
		netlink_close(&route);
	}
	json_close(json, ']');
}
