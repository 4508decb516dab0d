/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_FAULT_H
#define PMSM_FAULT_H

#include <stdbool.h>

#include "common/base.h"

/*
 * Fault injection for the tests with emulated machines: PMSM_FAULT=Fnn:ACTION in the environment,
 * read once at the start (a kernel hands such a word of its command line to init). Fnn is the
 * phase's stable id (agent/wire/phases.yaml), and the fault strikes when that phase begins for
 * whoever reads this:
 *     kill   SIGKILL, as if the process had crashed
 *     segv   SIGSEGV, as if it had crashed by itself
 *     reset  the machine is reset, as by its button
 *     stop   does nothing more, for ever
 *     exit   leaves without cleaning up
 * What only the source's helper can: source/faults.h.
 */
enum fault_action {
	FAULT_NONE,
	FAULT_KILL,
	FAULT_SEGV,
	FAULT_RESET,
	FAULT_STOP,
	FAULT_EXIT,
	FAULT_FAIL,
	FAULT_BOTH,
	FAULT_DEPUTY,
	FAULT_GUARD,
	FAULT_LATE,
	FAULT_HANG,
	FAULT_STALL
};

struct fault {
	enum pmsm_phase phase;
	enum fault_action action;
};

void fault_read(struct fault *fault);

/*
 * Strikes if it is meant. Comes back with the action if that is the caller's to carry out, and with
 * FAULT_NONE if nothing is to happen now.
 */
enum fault_action fault_begin(const struct fault *fault, enum pmsm_phase phase);

#endif
