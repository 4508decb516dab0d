// SPDX-License-Identifier: GPL-2.0-only
#include "common/owner.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "common/cmdline.h"
#include "common/log.h"
#include "common/ownership.h"

#define DEVICE_BYTES 128
#define TEXT_BYTES   512

enum { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_HELD = 5, EXIT_OTHER = 6 };

struct request {
	char record[sizeof(((struct machine_settings *)0)->record)];
	const char *settle, *take;
};

static bool take_options(struct request *request, int argc, char **argv)
{
	static const struct option options[] = {
	    {"record", required_argument, NULL, 'r'},
	    {"settle", required_argument, NULL, 's'},
	    {"take", required_argument, NULL, 't'},
	    {NULL, 0, NULL, 0},
	};
	int id;

	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (id == 'r')
			copy_text(request->record, sizeof(request->record), optarg);
		else if (id == 's')
			request->settle = optarg;
		else if (id == 't')
			request->take = optarg;
		else
			return false;
	}
	return optind == argc && !(request->settle && request->take);
}

static int show(int error, const struct ownership *ownership)
{
	char text[TEXT_BYTES];
	struct json json;

	json_start(&json, text, sizeof(text));
	json_open(&json, NULL, '{');
	if (error == -ENODATA)
		json_text(&json, "state", "none");
	else
		ownership_put(&json, ownership);
	json_close(&json, '}');
	return puts(text) < 0 || fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

static int make_owner(const char *device, struct ownership *ownership, const char *machine)
{
	int error;

	ownership->state = OWNERSHIP_OWNED;
	copy_text(ownership->machine, sizeof(ownership->machine), machine);
	error = ownership_write(device, ownership);
	if (error)
		log_text("owner: %s: %s", device, strerror(-error));
	else
		log_text("owner: %s is the owner", machine);
	return error ? EXIT_FAILED : EXIT_DONE;
}

static int settle(const char *device, struct ownership *ownership, const char *machine, bool held)
{
	bool owned = ownership->state == OWNERSHIP_OWNED;

	if (ownership->state == 0) {
		log_text("owner: this disk has none yet; enrol it: --take %s", machine);
		return EXIT_OTHER;
	}
	if (held) {
		log_text("owner: an attempt is under way on this machine");
		return EXIT_HELD;
	}
	if (owned && strcmp(ownership->machine, machine) == 0)
		return EXIT_DONE;
	if (owned) {
		log_text(
		    "owner: %s is, and not %s; if you are certain that it does not run: --take",
		    ownership->machine, machine);
		return EXIT_OTHER;
	}
	return make_owner(device, ownership, machine);
}

int owner_command(int argc, char **argv, bool held)
{
	struct machine_settings settings;
	struct request request = {0};
	struct ownership ownership;
	char device[DEVICE_BYTES];
	int error;

	cmdline_read(&settings);
	copy_text(request.record, sizeof(request.record), settings.record);
	if (!take_options(&request, argc, argv)) {
		fputs("usage: owner [--record WHERE] [--settle NAME | --take NAME]\n", stderr);
		return EXIT_USAGE;
	}
	if (request.record[0] == '\0') {
		log_text("owner: no record: pmsm.record is not on the kernel command line");
		return EXIT_USAGE;
	}
	error = ownership_find(device, sizeof(device), request.record, "");
	if (!error)
		error = ownership_read(device, &ownership);
	if (request.take && (!error || error == -ENODATA || error == -EBADMSG))
		return make_owner(device, &ownership, request.take);
	if (error && error != -ENODATA) {
		log_text("owner: %s: %s", request.record, strerror(-error));
		return EXIT_FAILED;
	}
	return request.settle ? settle(device, &ownership, request.settle, held)
			      : show(error, &ownership);
}
