// SPDX-License-Identifier: GPL-2.0-only
#include "source/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cmdline.h"

/* A pages message holds a page and a page's worth of frame numbers. */
#define CHUNK_KIB_MIN 8

enum option_id {
	OPT_ATTEMPT = 256,
	OPT_GENERATION,
	OPT_INTERFACE,
	OPT_ADDRESS,
	OPT_ORCHESTRATOR,
	OPT_TARGET,
	OPT_TARGET_ADDRESS,
	OPT_TARGET_MAC,
	OPT_MACHINE,
	OPT_TARGET_MACHINE,
	OPT_RECORD,
	OPT_IDENTITY,
	OPT_SINGLE_NIC,
	OPT_ENGINE,
	OPT_CODEC,
	OPT_STALL_MS,
	OPT_CHUNK_KIB,
	OPT_THREADS,
	OPT_KEEP_CACHE,
	OPT_CHECK,
	OPT_KERNEL_IO,
};

static const struct option long_options[] = {
    {"attempt", required_argument, NULL, OPT_ATTEMPT},
    {"generation", required_argument, NULL, OPT_GENERATION},
    {"interface", required_argument, NULL, OPT_INTERFACE},
    {"address", required_argument, NULL, OPT_ADDRESS},
    {"orchestrator", required_argument, NULL, OPT_ORCHESTRATOR},
    {"target", required_argument, NULL, OPT_TARGET},
    {"target-address", required_argument, NULL, OPT_TARGET_ADDRESS},
    {"target-mac", required_argument, NULL, OPT_TARGET_MAC},
    {"machine", required_argument, NULL, OPT_MACHINE},
    {"target-machine", required_argument, NULL, OPT_TARGET_MACHINE},
    {"record", required_argument, NULL, OPT_RECORD},
    {"identity", required_argument, NULL, OPT_IDENTITY},
    {"single-nic", no_argument, NULL, OPT_SINGLE_NIC},
    {"engine", required_argument, NULL, OPT_ENGINE},
    {"codec", required_argument, NULL, OPT_CODEC},
    {"stall-ms", required_argument, NULL, OPT_STALL_MS},
    {"chunk-kib", required_argument, NULL, OPT_CHUNK_KIB},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"keep-cache", no_argument, NULL, OPT_KEEP_CACHE},
    {"check", no_argument, NULL, OPT_CHECK},
    {"kernel-io", required_argument, NULL, OPT_KERNEL_IO},
    {NULL, 0, NULL, 0},
};

void options_usage(void)
{
	fputs("usage: pmsm-freeze facts [--probe]\n"
	      "       pmsm-freeze run --attempt HEX32 --generation N --interface IF\n"
	      "           --address A.B.C.D/LEN --orchestrator IP:PORT --target IP:PORT\n"
	      "           --target-address A.B.C.D/LEN --target-mac MAC [--single-nic]\n"
	      "           [--record WHERE --machine NAME --target-machine NAME] [--identity FILE]\n"
	      "           [--engine full|delta] [--codec auto|none|lz4|zstd] [--stall-ms 2000]\n"
	      "           [--chunk-kib 256] [--threads N] [--keep-cache] [--kernel-io auto|single] "
	      "[--check]\n"
	      "       pmsm-freeze recover [--force]\n"
	      "       pmsm-freeze owner [--record WHERE] [--settle NAME | --take NAME]\n"
	      "       pmsm-freeze network\n"
	      "exit: 0 moved or done, 1 failed before anything changed, 2 usage,\n"
	      "      4 rolled back: the source runs again, 5 held: a person decides\n",
	      stderr);
}

static bool parse_number(uint64_t *value, const char *text, uint64_t min, uint64_t max)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	*value = strtoull(text, &end, 10);
	return *end == '\0' && *value >= min && *value <= max;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_attempt(uint8_t *attempt, const char *text)
{
	if (strlen(text) != 2 * ATTEMPT_BYTES)
		return false;
	for (int i = 0; i < ATTEMPT_BYTES; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		attempt[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool parse_size(struct options *o, int id, const char *text)
{
	uint64_t value;

	switch (id) {
	case OPT_STALL_MS:
		if (!parse_number(&value, text, 100, 60000))
			return false;
		o->stall_ms = (uint32_t)value;
		return true;
	case OPT_CHUNK_KIB:
		if (!parse_number(&value, text, CHUNK_KIB_MIN, PMSM_LIMIT_CHUNK_BYTES / 1024) ||
		    value % 4)
			return false;
		o->chunk_bytes = (uint32_t)value * 1024;
		return true;
	default:
		if (!parse_number(&value, text, 1, COMPRESSORS_MAX))
			return false;
		o->threads = (unsigned int)value;
		return true;
	}
}

static bool parse_choice(struct options *o, int id, const char *text)
{
	if (id == OPT_KERNEL_IO) {
		o->kernel_io_single = strcmp(text, "single") == 0;
		return o->kernel_io_single || strcmp(text, "auto") == 0;
	}
	if (id == OPT_ENGINE) {
		o->engine = strcmp(text, "delta") == 0 ? PMSM_ENGINE_DELTA : PMSM_ENGINE_FULL;
		return o->engine == PMSM_ENGINE_DELTA || strcmp(text, "full") == 0;
	}
	o->codec = codec_by_name(text);
	return o->codec || strcmp(text, "auto") == 0;
}

static bool parse_text(char *to, size_t capacity, const char *text)
{
	copy_text(to, capacity, text);
	return *text != '\0' && strlen(text) < capacity;
}

static bool parse_one(struct options *o, int id, const char *text)
{
	switch (id) {
	case OPT_ATTEMPT:
		return parse_attempt(o->id.attempt, text);
	case OPT_GENERATION:
		return parse_number(&o->id.generation, text, 1, UINT64_MAX);
	case OPT_INTERFACE:
		copy_text(o->interface, sizeof(o->interface), text);
		return strlen(text) < INTERFACE_BYTES;
	case OPT_ADDRESS:
		return ipv4_network_parse(&o->address, text);
	case OPT_ORCHESTRATOR:
		return endpoint_parse(&o->orchestrator, text);
	case OPT_TARGET:
		return endpoint_parse(&o->target, text);
	case OPT_TARGET_ADDRESS:
		return ipv4_network_parse(&o->target_address, text);
	case OPT_TARGET_MAC:
		o->has_target_mac = mac_parse(o->target_mac, text);
		return o->has_target_mac;
	case OPT_MACHINE:
		return parse_text(o->machine, sizeof(o->machine), text);
	case OPT_TARGET_MACHINE:
		return parse_text(o->target_machine, sizeof(o->target_machine), text);
	case OPT_RECORD:
		return parse_text(o->record, sizeof(o->record), text);
	case OPT_IDENTITY:
		return parse_text(o->identity, sizeof(o->identity), text);
	case OPT_ENGINE:
	case OPT_CODEC:
	case OPT_KERNEL_IO:
		return parse_choice(o, id, text);
	default:
		return parse_size(o, id, text);
	}
}

static const char *missing(const struct options *o)
{
	static const uint8_t none[ATTEMPT_BYTES];

	if (memcmp(o->id.attempt, none, ATTEMPT_BYTES) == 0)
		return "--attempt";
	if (o->id.generation == 0)
		return "--generation";
	if (o->interface[0] == '\0')
		return "--interface";
	if (o->address.prefix == 0)
		return "--address";
	if (o->orchestrator.port == 0)
		return "--orchestrator";
	if (o->target.port == 0)
		return "--target";
	if (o->target_address.prefix == 0)
		return "--target-address";
	if (o->record[0] != '\0' && (o->machine[0] == '\0' || o->target_machine[0] == '\0'))
		return "--machine or --target-machine";
	return o->has_target_mac ? NULL : "--target-mac";
}

bool options_parse(struct options *o, int argc, char **argv)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	bool single_nic = false;
	const char *absent;
	int id;

	*o = (struct options){
	    .engine = PMSM_ENGINE_FULL, .stall_ms = 2000, .chunk_bytes = 256 * 1024};
	o->threads = cpus < 1 ? 1 : cpus > COMPRESSORS_MAX ? COMPRESSORS_MAX : (unsigned int)cpus;
	while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (id == '?')
			return false;
		if (id == OPT_SINGLE_NIC)
			single_nic = true;
		else if (id == OPT_KEEP_CACHE)
			o->keep_cache = true;
		else if (id == OPT_CHECK)
			o->check = true;
		else if (!parse_one(o, id, optarg)) {
			fprintf(stderr, "pmsm-freeze: not a valid value: %s\n", optarg);
			return false;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "pmsm-freeze: unknown argument: %s\n", argv[optind]);
		return false;
	}
	if (single_nic)
		copy_text(o->interface, sizeof(o->interface), SINGLE_NIC_NAME);
	absent = missing(o);
	if (absent)
		fprintf(stderr, "pmsm-freeze: %s is missing\n", absent);
	return absent == NULL;
}
