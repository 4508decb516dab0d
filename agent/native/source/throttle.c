// SPDX-License-Identifier: GPL-2.0-only
#include "source/throttle.h"

#include <dirent.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"

#define DEPTH_MAX 5
#define PERIOD_US 100000u
/* The kernel takes no quota below this. */
#define QUOTA_US_MIN 1000u
/*
 * What a step leaves. Rounds are few, and there may be two or three that have to be slowed down
 * until it shows: the one that uses most is not always the one that changes most.
 */
#define STEP_PERCENT 25
/*
 * Who uses less than this part of one processor is left alone. It is little, since a process that
 * does nothing but write changes 100 MB in 50 ms even under emulation.
 */
#define WORTH_PERCENT 2
#define STAT_BYTES    2048

void throttle_begin(struct throttle *t, const char *root, struct settings *settings)
{
	char line[SETTING_PATH_BYTES];

	t->root = root;
	t->settings = settings;
	t->steps = 0;
	t->count = 0;
	t->own[0] = '\0';
	if (setting_read("/proc/self/cgroup", line, sizeof(line)) && strncmp(line, "0::", 3) == 0)
		snprintf(t->own, sizeof(t->own), "%.*s%.*s", 64, root, 180, line + 3);
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), part = strlen(end);

	return length >= part && strcmp(text + length - part, end) == 0;
}

static bool used_us(const char *group, uint64_t *us)
{
	char path[SETTING_PATH_BYTES + 16], text[STAT_BYTES];
	FILE *file;
	bool found = false;
	unsigned long long value;

	snprintf(path, sizeof(path), "%s/cpu.stat", group);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (!found && fgets(text, sizeof(text), file))
		found = sscanf(text, "usage_usec %llu", &value) == 1;
	fclose(file);
	if (found)
		*us = value;
	return found;
}

static void add(struct throttle *t, const char *path)
{
	struct throttle_group *group = &t->groups[t->count];

	if (t->count == THROTTLE_GROUPS_MAX || strcmp(path, t->own) == 0 ||
	    !used_us(path, &group->used_us))
		return;
	copy_text(group->path, sizeof(group->path), path);
	t->count++;
}

/* Slices hold services and scopes, which hold processes. */
static void scan(struct throttle *t, const char *directory, unsigned int depth)
{
	DIR *dir = depth < DEPTH_MAX ? opendir(directory) : NULL;
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char path[SETTING_PATH_BYTES];
		const char *name = entry->d_name;
		int length = snprintf(path, sizeof(path), "%s/%s", directory, name);

		if (length < 0 || (size_t)length >= sizeof(path))
			continue;
		if (ends_with(name, ".slice"))
			scan(t, path, depth + 1);
		else if (ends_with(name, ".service") || ends_with(name, ".scope"))
			add(t, path);
	}
	if (dir)
		closedir(dir);
}

void throttle_look(struct throttle *t)
{
	t->count = 0;
	t->since_ns = clock_ns();
	scan(t, t->root, 0);
}

/* Every group above must give the controller to those below it. */
static bool enable_above(struct throttle *t, const char *group)
{
	char directory[SETTING_PATH_BYTES], control[SETTING_PATH_BYTES + 32];
	size_t at = strlen(t->root);

	copy_text(directory, sizeof(directory), group);
	do {
		char enabled[SETTING_TEXT_BYTES] = "";
		char kept = directory[at];

		directory[at] = '\0';
		snprintf(control, sizeof(control), "%s/cgroup.subtree_control", directory);
		setting_read(control, enabled, sizeof(enabled));
		directory[at] = kept;
		/* As a word: there is a controller "cpuset", too. */
		if (strcmp(enabled, "cpu") != 0 && strncmp(enabled, "cpu ", 4) != 0 &&
		    !strstr(enabled, " cpu ") && !ends_with(enabled, " cpu") &&
		    !setting_change_with(t->settings, control, "+cpu", "-cpu"))
			return false;
		at++;
		while (group[at] != '\0' && group[at] != '/')
			at++;
	} while (group[at] != '\0');
	return true;
}

static bool slow_down(struct throttle *t, const struct throttle_group *group, uint64_t used,
		      uint64_t elapsed_us)
{
	char path[SETTING_PATH_BYTES + 16], value[SETTING_TEXT_BYTES];
	uint64_t quota = max_u64(QUOTA_US_MIN, used * PERIOD_US / elapsed_us * STEP_PERCENT / 100);

	if (!enable_above(t, group->path))
		return false;
	snprintf(path, sizeof(path), "%s/cpu.max", group->path);
	snprintf(value, sizeof(value), "%llu %u", (unsigned long long)quota, PERIOD_US);
	if (!setting_change(t->settings, path, value))
		return false;
	t->steps++;
	log_text("%s may use %llu %% of a processor", group->path + strlen(t->root),
		 (unsigned long long)(quota * 100 / PERIOD_US));
	return true;
}

bool throttle_step(struct throttle *t)
{
	uint64_t elapsed_us = max_u64(1, (clock_ns() - t->since_ns) / 1000), most = 0;
	const struct throttle_group *noisiest = NULL;

	for (size_t i = 0; i < t->count; i++) {
		uint64_t now;

		if (!used_us(t->groups[i].path, &now) || now < t->groups[i].used_us ||
		    now - t->groups[i].used_us <= most)
			continue;
		most = now - t->groups[i].used_us;
		noisiest = &t->groups[i];
	}
	return noisiest && most * 100 >= elapsed_us * WORTH_PERCENT &&
	       slow_down(t, noisiest, most, elapsed_us);
}

void throttle_end(struct throttle *t)
{
	if (t->settings)
		settings_restore(t->settings);
}
