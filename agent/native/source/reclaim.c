// SPDX-License-Identifier: GPL-2.0-only
#include "source/reclaim.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/facts.h"
#include "common/log.h"
#include "source/settings.h"

#define GROUPS_PATH "/sys/fs/cgroup"
/* Little enough for the deadline to be kept, and for nobody to wait behind it. */
#define STEP_BYTES (8u << 20)
#define STEP_TEXT  "8M swappiness=0"

/* Until the group has nothing more to give: a step that comes short fails with EAGAIN. */
static uint64_t reclaim_group(int directory, const char *name, uint64_t want_bytes,
			      uint64_t deadline_ns)
{
	uint64_t done_bytes = 0;
	char path[300];

	snprintf(path, sizeof(path), "%s/memory.reclaim", name);
	while (done_bytes < want_bytes && clock_left_ms(deadline_ns) > 0 &&
	       setting_write(directory, path, STEP_TEXT))
		done_bytes += STEP_BYTES;
	return done_bytes;
}

/* The agent sleeps from now on: what it has in the cache helps nobody. Its path below GROUPS_PATH.
 */
static bool own_group(char *path, size_t capacity)
{
	char line[256];
	FILE *f = fopen("/proc/self/cgroup", "re");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		found = strncmp(line, "0::/", 4) == 0 && line[4] != '\0';
	}
	if (f)
		fclose(f);
	if (found)
		copy_text(path, capacity, line + 4);
	return found;
}

void reclaim_cache(uint64_t deadline_ns)
{
	DIR *groups = opendir(GROUPS_PATH);
	uint64_t want_bytes, done_bytes = 0;
	char own[256];
	struct dirent *entry;

	setting_write(AT_FDCWD, "/proc/sys/vm/drop_caches", "1");
	want_bytes = facts_cold_cache_bytes();
	if (groups && own_group(own, sizeof(own)))
		done_bytes = reclaim_group(dirfd(groups), own, want_bytes, deadline_ns);
	while (groups && done_bytes < want_bytes && (entry = readdir(groups)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			done_bytes += reclaim_group(dirfd(groups), entry->d_name,
						    want_bytes - done_bytes, deadline_ns);
	if (groups)
		closedir(groups);
	log_text("reclaimed %llu of %llu MiB of cold page cache",
		 (unsigned long long)(done_bytes >> 20), (unsigned long long)(want_bytes >> 20));
}
