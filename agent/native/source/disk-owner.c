// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>

#include "common/log.h"
#include "common/ownership.h"
#include "source/attempt.h"

static int refuse(struct attempt *a, int error, const char *what)
{
	return failure_set(&a->failure, PMSM_E_OWNERSHIP_UNCLEAR, error, "%s: %s",
			   a->options.record, what);
}

int ownership_begin(struct attempt *a)
{
	const struct options *o = &a->options;
	struct ownership ownership;
	char path[sizeof(a->record_path)];
	int error;

	if (o->record[0] == '\0')
		return 0;
	error = ownership_find(path, sizeof(path), o->record, "");
	if (!error)
		error = ownership_read(path, &ownership);
	if (error && error != -ENODATA)
		return refuse(a, error, strerror(-error));
	/* One that was being moved and runs is the owner, too, and its agent has settled it. */
	if (!error && ownership.state == OWNERSHIP_OWNED &&
	    strcmp(ownership.machine, o->machine) != 0)
		return refuse(a, EEXIST, "the disk has another owner");
	ownership = (struct ownership){
	    .state = OWNERSHIP_MOVING, .id = o->id, .orchestrator = o->orchestrator};
	copy_text(ownership.machine, sizeof(ownership.machine), o->machine);
	error = ownership_write(path, &ownership);
	if (error)
		return refuse(a, error, strerror(-error));
	copy_text(a->record_path, sizeof(a->record_path), path);
	return 0;
}

void ownership_end(struct attempt *a, const char *machine)
{
	struct ownership ownership = {.state = OWNERSHIP_OWNED, .id = a->options.id};
	int error;

	if (a->record_path[0] == '\0')
		return;
	copy_text(ownership.machine, sizeof(ownership.machine), machine);
	error = ownership_write(a->record_path, &ownership);
	/* Then it says MOVING for ever, and a boot asks the orchestrator, who knows. */
	if (error)
		log_text("%s: %s", a->record_path, strerror(-error));
}

void identity_take(const struct attempt *a)
{
	char moved[sizeof(a->options.identity) + 1 + 2 * ATTEMPT_BYTES];
	size_t at;

	if (a->options.identity[0] == '\0')
		return;
	at = (size_t)snprintf(moved, sizeof(moved), "%s.", a->options.identity);
	for (size_t i = 0; i < ATTEMPT_BYTES; i++)
		snprintf(moved + at + 2 * i, sizeof(moved) - at - 2 * i, "%02x",
			 a->options.id.attempt[i]);
	/* Done already, if a helper before has come as far. */
	if (rename(moved, a->options.identity) < 0 && errno != ENOENT)
		log_text("%s: %s", a->options.identity, strerror(errno));
}
