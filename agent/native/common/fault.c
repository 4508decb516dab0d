// SPDX-License-Identifier: GPL-2.0-only
#include "common/fault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name;
	enum fault_action action;
} actions[] = {
    {"kill", FAULT_KILL},     {"segv", FAULT_SEGV}, {"reset", FAULT_RESET},
    {"stop", FAULT_STOP},     {"exit", FAULT_EXIT}, {"fail", FAULT_FAIL},
    {"both", FAULT_BOTH},     {"late", FAULT_LATE}, {"guard", FAULT_GUARD},
    {"deputy", FAULT_DEPUTY}, {"hang", FAULT_HANG}, {"stall", FAULT_STALL},
};

static const char *name_of(enum fault_action action)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (actions[i].action == action)
			return actions[i].name;
	return "?";
}

void fault_read(struct fault *fault)
{
	const char *text = getenv("PMSM_FAULT");

	*fault = (struct fault){.phase = PMSM_PHASE_NONE, .action = FAULT_NONE};
	if (!text || strlen(text) < 5 || text[3] != ':')
		return;
	for (uint16_t phase = PMSM_PHASE_PLAN; phase <= PMSM_PHASE_RELEASE; phase++)
		if (strncmp(pmsm_phase_fault(phase), text, 3) == 0)
			fault->phase = phase;
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (strcmp(actions[i].name, text + 4) == 0)
			fault->action = actions[i].action;
}

/* Without a word to anybody: nothing is written back, no device is told. */
static void reset_machine(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "b", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/*
 * On the console, so that a test knows that it was not spared: "pmsm: fault F12:kill strikes". At
 * the one level that is still printed in the window.
 */
static void announce(const struct fault *fault)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	char line[80];
	int bytes = snprintf(line, sizeof(line), "<0>pmsm: fault %s:%s strikes\n",
			     pmsm_phase_fault((uint16_t)fault->phase), name_of(fault->action));

	if (fd < 0)
		return;
	/* One write is one message. dprintf() would want to know its place first, and gives up. */
	(void)!write(fd, line, (size_t)bytes);
	close(fd);
}

enum fault_action fault_begin(const struct fault *fault, enum pmsm_phase phase)
{
	if (fault->phase != phase || fault->action == FAULT_NONE)
		return FAULT_NONE;
	announce(fault);
	switch (fault->action) {
	case FAULT_KILL:
		kill(getpid(), SIGKILL);
		break;
	case FAULT_SEGV:
		kill(getpid(), SIGSEGV);
		break;
	case FAULT_RESET:
		reset_machine();
		break;
	case FAULT_STOP:
		for (;;)
			pause();
	case FAULT_EXIT:
		_exit(1);
	default:
		break;
	}
	return fault->action;
}
