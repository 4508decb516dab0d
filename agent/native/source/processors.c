// SPDX-License-Identifier: GPL-2.0-only
#include "source/processors.h"

#include <stdio.h>
#include <unistd.h>

#include "common/facts_lists.h"

#define SHARE_SINGLE_PERMILLE 500
#define SHARE_FEW_PERMILLE    200
#define SHARE_EACH_PERMILLE   125

unsigned int processors_last_quarter(cpu_set_t *set)
{
	unsigned int all = (unsigned int)CPU_COUNT(set), keep = all / 4 > 0 ? all / 4 : 1, kept = 0;

	for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
		if (!CPU_ISSET(cpu, set))
			continue;
		if (kept == keep)
			CPU_CLR(cpu, set);
		else
			kept++;
	}
	return kept;
}

bool processors_confine(cpu_set_t *before)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(*before), before))
		return false;
	set = *before;
	return processors_last_quarter(&set) > 0 && sched_setaffinity(0, sizeof(set), &set) == 0;
}

void processors_restore(const cpu_set_t *before)
{
	sched_setaffinity(0, sizeof(*before), before);
}

unsigned int processors_share_of(unsigned int processors)
{
	if (processors <= 1)
		return SHARE_SINGLE_PERMILLE;
	return processors < 4 ? SHARE_FEW_PERMILLE : processors * SHARE_EACH_PERMILLE;
}

unsigned int processors_online(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	return processors > 0 ? (unsigned int)processors : 1;
}

unsigned int processors_share_permille(void)
{
	return processors_share_of(processors_online());
}

unsigned int processors_wanted_of(const char *loadavg)
{
	unsigned int runnable;

	/* Three averages, which are older than what is asked for, and who runs or could now. */
	if (sscanf(loadavg, "%*s %*s %*s %u/", &runnable) != 1 || runnable == 0)
		return 0;
	return runnable - 1;
}

unsigned int processors_wanted_by(void)
{
	char text[64];

	return facts_read_file("/proc/loadavg", text, sizeof(text)) ? processors_wanted_of(text)
								    : 0;
}

bool processors_fall_short(unsigned int wanted_by, unsigned int processors)
{
	return wanted_by > processors;
}

bool processors_are_waited_for(void)
{
	return processors_fall_short(processors_wanted_by(), processors_online());
}
