// SPDX-License-Identifier: GPL-2.0-only
#include "common/facts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cmdline.h"
#include "common/facts_lists.h"
#include "common/json.h"
#include "common/log.h"
#include "common/quarantine.h"
#include "common/snapshot.h"

#define MEMINFO_BYTES 8192

static uint64_t meminfo_bytes(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
}

uint64_t facts_own_bytes(void)
{
	return facts_present_pages() * PAGE_BYTES;
}

uint64_t facts_total_bytes(void)
{
	return facts_own_bytes() + facts_image_ram_bytes();
}

uint64_t facts_available_bytes(void)
{
	char text[MEMINFO_BYTES];

	return facts_read_file("/proc/meminfo", text, sizeof(text))
		   ? meminfo_bytes(text, "MemAvailable:")
		   : 0;
}

int facts_tracer(void)
{
	static const char key[] = "\nTracerPid:";
	char text[MEMINFO_BYTES];
	const char *line;

	if (!facts_read_file("/proc/self/status", text, sizeof(text)))
		return 0;
	line = strstr(text, key);
	return line ? atoi(line + sizeof(key) - 1) : 0;
}

uint64_t facts_cold_cache_bytes(void)
{
	char text[MEMINFO_BYTES];
	uint64_t inactive;

	if (!facts_read_file("/proc/meminfo", text, sizeof(text)))
		return 0;
	/* With multi-generational LRU (Debian's kernel) "inactive" alone is nearly nothing. */
	inactive = meminfo_bytes(text, "Inactive(file):");
	return max_u64(inactive, (meminfo_bytes(text, "Active(file):") + inactive) / 2);
}

/*
 * What hibernation would save once clean page cache is dropped: all that is not free, the memory of
 * the kernel itself included.
 */
uint64_t facts_used_bytes(void)
{
	char text[MEMINFO_BYTES];
	uint64_t present = facts_own_bytes();
	uint64_t cache, kept, unused;

	if (!facts_read_file("/proc/meminfo", text, sizeof(text)))
		return 0;
	cache = meminfo_bytes(text, "Active(file):") + meminfo_bytes(text, "Inactive(file):");
	kept = meminfo_bytes(text, "Mapped:") + meminfo_bytes(text, "Dirty:");
	unused = meminfo_bytes(text, "MemFree:") + (cache > kept ? cache - kept : 0);
	return present > unused ? present - unused : 0;
}

static void put_text_or_null(struct json *json, const char *key, const char *text)
{
	if (text)
		json_text(json, key, text);
	else
		json_null(json, key);
}

static void put_file(struct json *json, const char *key, const char *path)
{
	char text[256];

	if (!facts_read_file(path, text, sizeof(text))) {
		json_null(json, key);
		return;
	}
	text[strcspn(text, "\n")] = '\0';
	json_text(json, key, text);
}

static void put_machine(struct json *json)
{
	char host[256];

	json_open(json, "machine", '{');
	if (gethostname(host, sizeof(host)) == 0)
		json_text(json, "hostname", host);
	put_file(json, "vendor", "/sys/class/dmi/id/sys_vendor");
	put_file(json, "product", "/sys/class/dmi/id/product_name");
	put_file(json, "board", "/sys/class/dmi/id/board_name");
	put_file(json, "bios_version", "/sys/class/dmi/id/bios_version");
	put_file(json, "uuid", "/sys/class/dmi/id/product_uuid");
	json_close(json, '}');
}

/* Whether the kernel has our patches, and which images it makes: only an open device can tell. */
static void put_patches(struct json *json)
{
	struct snapshot_device device = {.ops = &snapshot_kernel, .fd = -1};
	struct pmsm_snapshot_phases phases;

	if (device.ops->open(&device, SNAPSHOT_MODE_LIVE)) {
		json_bool(json, "patched", false);
		json_u64(json, "image_format", 0);
		return;
	}
	json_bool(json, "patched", device.ops->phases(&device, &phases) == 0);
	json_u64(json, "image_format", snapshot_image_format(&device));
	device.ops->close(&device);
}

static void put_kernel(struct json *json, bool probe)
{
	struct utsname uts;

	uname(&uts);
	json_open(json, "kernel", '{');
	json_text(json, "release", uts.release);
	json_text(json, "version", uts.version);
	json_text(json, "architecture", uts.machine);
	if (probe) {
		put_patches(json);
	} else {
		json_null(json, "patched");
		json_null(json, "image_format");
	}
	json_close(json, '}');
}

static void put_memory(struct json *json)
{
	json_open(json, "memory", '{');
	json_u64(json, "total_bytes", facts_total_bytes());
	json_u64(json, "present_pages", facts_total_bytes() / PAGE_BYTES);
	json_u64(json, "image_ram_bytes", facts_image_ram_bytes());
	json_u64(json, "available_bytes", facts_available_bytes());
	json_u64(json, "used_bytes", facts_used_bytes());
	facts_put_memory_map(json);
	json_close(json, '}');
}

static void put_migration(struct json *json)
{
	struct machine_settings settings;
	char text[64];

	cmdline_read(&settings);
	json_open(json, "migration", '{');
	json_text(json, "machine", settings.machine);
	json_text(json, "interface", migration_device(&settings));
	if (settings.address.prefix) {
		const uint8_t *b = (const uint8_t *)&settings.address.address;

		snprintf(text, sizeof(text), "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
		json_text(json, "address", text);
		json_u64(json, "prefix", settings.address.prefix);
	} else {
		json_null(json, "address");
		json_null(json, "prefix");
	}
	snprintf(text, sizeof(text), "/sys/class/net/%.15s/address", migration_device(&settings));
	put_file(json, "mac", text);
	json_bool(json, "single_nic", settings.single_nic);
	json_close(json, '}');
}

/* Why this machine cannot hibernate; NULL if it can. */
static const char *hibernation_obstacle(void)
{
	char text[256];

	if (access("/dev/snapshot", F_OK) < 0)
		return "there is no /dev/snapshot (CONFIG_HIBERNATION_SNAPSHOT_DEV)";
	if (access("/dev/snapshot", R_OK) < 0)
		return "/dev/snapshot is not readable (root is needed)";
	if (facts_read_file("/sys/power/disk", text, sizeof(text)) && strstr(text, "[disabled]"))
		return "hibernation is disabled (nohibernate, lockdown, secret memory or CXL)";
	if (facts_read_file("/sys/kernel/security/lockdown", text, sizeof(text)) &&
	    !strstr(text, "[none]"))
		return "the kernel is locked down (Secure Boot)";
	return NULL;
}

static void put_hibernation(struct json *json, const char *rehearsal)
{
	const char *obstacle = hibernation_obstacle();

	json_open(json, "hibernation", '{');
	json_bool(json, "available", obstacle == NULL);
	put_text_or_null(json, "reason", obstacle);
	put_text_or_null(json, "rehearsal", rehearsal);
	json_close(json, '}');
}

/* Only who tries knows what a kernel can drop, and loads what it needs for that. */
static void put_quarantine(struct json *json)
{
	static struct quarantine quarantine; /* too large for the stack; one thread */
	int error = quarantine_prepare(&quarantine, "");

	if (!error)
		error = quarantine_probe(&quarantine);
	quarantine_destroy(&quarantine);
	json_open(json, "quarantine", '{');
	json_bool(json, "available", error == 0);
	put_text_or_null(json, "reason", error ? strerror(-error) : NULL);
	json_close(json, '}');
}

size_t facts_write(char *text, size_t capacity, const struct facts_context *context)
{
	struct json json;

	json_start(&json, text, capacity);
	json_open(&json, NULL, '{');
	json_u64(&json, "version", 1);
	json_text(&json, "helper", HELPER_VERSION);
	put_machine(&json);
	put_kernel(&json, context->probe);
	put_memory(&json);
	facts_put_cpu(&json);
	facts_put_pci(&json);
	facts_put_network(&json);
	put_migration(&json);
	put_hibernation(&json, context->rehearsal);
	if (context->probe)
		put_quarantine(&json);
	json_close(&json, '}');
	return json.full ? 0 : json.used;
}

int facts_print(bool probe)
{
	static char text[PMSM_LIMIT_CONTROL_PAYLOAD_BYTES];
	const struct facts_context context = {.probe = probe};

	clock_calibrate_begin();
	if (facts_write(text, sizeof(text), &context) == 0) {
		log_text("the facts do not fit into %zu bytes", sizeof(text));
		return 1;
	}
	return puts(text) < 0 || fflush(stdout) ? 1 : 0;
}
