// SPDX-License-Identifier: GPL-2.0-only
/* Settings that are changed and brought back, by whom may be, and services that are slowed down. */
#include "test.h"

#include <ftw.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "source/guard.h"
#include "source/throttle.h"

static char root[64];

static void put(const char *name, const char *text)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	file = fopen(path, "w");
	if (!file || fputs(text, file) < 0 || fclose(file))
		abort();
}

static bool says(const char *name, const char *text)
{
	char path[512], found[SETTING_TEXT_BYTES];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return setting_read(path, found, sizeof(found)) && strcmp(found, text) == 0;
}

static void test_settings(void)
{
	static struct settings settings;
	char path[512], longer[SETTING_PATH_BYTES + 8];

	put("one", "4 4 1 7\n");
	snprintf(path, sizeof(path), "%s/one", root);
	CHECK(setting_change(&settings, path, "1") && says("one", "1"), "a setting is changed");
	CHECK(setting_change(&settings, path, "2") && says("one", "2"), "and once more");
	settings_restore(&settings);
	CHECK(says("one", "4 4 1 7") && settings.count == 0, "the first text is back");
	CHECK(!setting_change(&settings, "/does/not/exist", "1") && settings.count == 0,
	      "what is not there is not remembered");
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	CHECK(!setting_change_with(&settings, longer, "1", "2"), "nor a path that is too long");
	for (unsigned int i = 0; i < SETTINGS_MAX; i++)
		setting_change(&settings, path, "3");
	CHECK(!setting_change(&settings, path, "4") && says("one", "3"), "a full list ends it");
	settings_restore(&settings);
	CHECK(says("one", "4 4 1 7"), "and is brought back whole");
}

/* The helper dies without a word; whoever is left puts things right, unless it must hold. */
static void test_guard(enum guard_order order, const char *after, const char *what)
{
	uint64_t deadline = clock_deadline_ms(5000);
	char path[512];
	pid_t child;

	put("two", "before\n");
	snprintf(path, sizeof(path), "%s/two", root);
	child = fork();
	if (child == 0) {
		struct guard guard = {0};

		if (guard_start(&guard))
			_exit(2);
		setting_change(&guard.shared->settings, path, "changed");
		setting_change(&guard.shared->throttled, path, "slow");
		atomic_store(&guard.shared->order, (int)order);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	while (!says("two", after) && clock_left_ms(deadline) > 0)
		clock_sleep_ms(10);
	if (order == GUARD_HOLD)
		clock_sleep_ms(300);
	CHECK(says("two", after), "%s", what);
}

static void make_group(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	if (mkdir(path, 0755))
		abort();
	snprintf(path, sizeof(path), "%s/cpu.stat", name);
	put(path, "usage_usec 1000000\nuser_usec 1\n");
	snprintf(path, sizeof(path), "%s/cpu.max", name);
	put(path, "max 100000\n");
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", name);
	put(path, "cpuset memory pids\n");
}

static void use_cpu(const char *name, unsigned long long us)
{
	char path[512], text[64];

	snprintf(path, sizeof(path), "%s/cpu.stat", name);
	snprintf(text, sizeof(text), "usage_usec %llu\n", 1000000 + us);
	put(path, text);
}

/* Looks, lets two services and a slice use a processor for a second, takes a step. */
static bool step(struct throttle *t, unsigned long long calm_us, unsigned long long noisy_us)
{
	use_cpu("system.slice/calm.service", 0);
	use_cpu("system.slice/db.slice/noisy.service", 0);
	use_cpu("system.slice/own.service", 0);
	throttle_look(t);
	t->since_ns -= NS_PER_S;
	use_cpu("system.slice", 900000);
	use_cpu("system.slice/own.service", 950000);
	use_cpu("system.slice/calm.service", calm_us);
	use_cpu("system.slice/db.slice/noisy.service", noisy_us);
	return throttle_step(t);
}

static unsigned long quota(const char *name)
{
	char path[512], text[SETTING_TEXT_BYTES];

	snprintf(path, sizeof(path), "%s/%s/cpu.max", root, name);
	return setting_read(path, text, sizeof(text)) ? strtoul(text, NULL, 10) : 0;
}

static bool is_about(unsigned long value, unsigned long wanted)
{
	return value > wanted * 8 / 10 && value <= wanted;
}

static void test_throttle(void)
{
	static const char *const noisy = "system.slice/db.slice/noisy.service";
	static struct settings settings;
	static struct throttle t;

	put("cgroup.subtree_control", "cpu memory pids\n");
	make_group("system.slice");
	make_group("system.slice/calm.service");
	make_group("system.slice/own.service");
	make_group("system.slice/db.slice");
	make_group(noisy);
	throttle_begin(&t, root, &settings);
	snprintf(t.own, sizeof(t.own), "%s/system.slice/own.service", root);

	CHECK(step(&t, 20000, 800000), "the noisiest service is slowed down");
	CHECK(is_about(quota(noisy), 20000), "to a quarter of what it used: %lu", quota(noisy));
	CHECK(quota("system.slice/calm.service") == 0 && quota("system.slice/own.service") == 0,
	      "neither another one nor our own");
	CHECK(says("system.slice/cgroup.subtree_control", "+cpu") &&
		  says("system.slice/db.slice/cgroup.subtree_control", "+cpu") &&
		  says("cgroup.subtree_control", "cpu memory pids"),
	      "the controller is switched on where it was not, and \"cpuset\" is not it");
	put("system.slice/cgroup.subtree_control", "cpuset cpu memory\n");
	put("system.slice/db.slice/cgroup.subtree_control", "memory cpu\n");
	CHECK(step(&t, 20000, 200000) && is_about(quota(noisy), 5000), "and again: %lu",
	      quota(noisy));
	CHECK(step(&t, 60000, 10000) && is_about(quota("system.slice/calm.service"), 1500),
	      "then the next one");
	CHECK(!step(&t, 10000, 15000) && t.steps == 3, "who hardly runs is left alone");
	throttle_end(&t);
	CHECK(says("system.slice/db.slice/noisy.service/cpu.max", "max 100000") &&
		  says("system.slice/calm.service/cpu.max", "max 100000") &&
		  says("system.slice/cgroup.subtree_control", "-cpu"),
	      "in the end all is as it was");
	put("system.slice/cgroup.subtree_control", "memory\n");
	CHECK(quota("system.slice/none.service") == 0 && settings.count == 0, "nothing is left");
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status;
	(void)type;
	(void)ftw;
	return remove(path);
}

int main(void)
{
	snprintf(root, sizeof(root), "/tmp/pmsm-settings-XXXXXX");
	if (!mkdtemp(root))
		return 1;
	test_settings();
	test_guard(GUARD_IDLE, "before", "before the window the guard restores settings");
	test_guard(GUARD_HOLD, "slow", "it touches nothing while another body may own the state");
	test_throttle();
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return test_end();
}
