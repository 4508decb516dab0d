// SPDX-License-Identifier: GPL-2.0-only
#include "source/faults.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static const struct {
	const char *name;
	enum fault_action action;
} actions[] = {
    {"kill", FAULT_KILL}, {"segv", FAULT_SEGV}, {"both", FAULT_BOTH},
    {"stop", FAULT_STOP}, {"late", FAULT_LATE}, {"hang", FAULT_HANG},
    {"exit", FAULT_EXIT}, {"fail", FAULT_FAIL}, {"stall", FAULT_STALL},
};

void faults_read(struct attempt *a)
{
	const char *text = getenv("PMSM_FAULT");

	a->fault_phase = PMSM_PHASE_NONE;
	a->fault_action = FAULT_NONE;
	if (!text || strlen(text) < 5 || text[3] != ':')
		return;
	for (uint16_t phase = PMSM_PHASE_PLAN; phase <= PMSM_PHASE_RELEASE; phase++)
		if (strncmp(pmsm_phase_fault(phase), text, 3) == 0)
			a->fault_phase = phase;
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (strcmp(actions[i].name, text + 4) == 0)
			a->fault_action = (int)actions[i].action;
}

int fault_strike(struct attempt *a, enum pmsm_phase phase)
{
	if (a->fault_phase != (int)phase)
		return 0;
	switch (a->fault_action) {
	case FAULT_BOTH:
		if (a->deputy.pid > 0)
			kill(a->deputy.pid, SIGKILL);
		kill(getpid(), SIGKILL);
		return 0;
	case FAULT_KILL:
		kill(getpid(), SIGKILL);
		return 0;
	case FAULT_SEGV:
		kill(getpid(), SIGSEGV);
		return 0;
	case FAULT_STOP:
		for (;;)
			pause();
	case FAULT_EXIT:
		_exit(1);
	case FAULT_FAIL:
		return failure_set(&a->failure, PMSM_E_INTERNAL, EIO, "injected fault in %s",
				   pmsm_phase_name((uint16_t)phase));
	default:
		return 0;
	}
}

void fault_strike_late(const struct attempt *a, enum pmsm_phase phase)
{
	if (a->fault_phase != (int)phase)
		return;
	if (a->fault_action == FAULT_LATE)
		kill(getpid(), SIGKILL);
	while (a->fault_action == FAULT_HANG)
		pause();
}

bool fault_is_stall(const struct attempt *a, enum pmsm_phase phase)
{
	return a->fault_phase == (int)phase && a->fault_action == FAULT_STALL;
}
