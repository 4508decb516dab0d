/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_FAULTS_H
#define PMSM_FAULTS_H

#include "source/attempt.h"

/*
 * Fault injection for the end-to-end tests: PMSM_FAULT=Fnn:ACTION in the environment, read once at
 * the start. Fnn is the phase's stable id (agent/wire/phases.yaml), the fault strikes when that
 * phase begins:
 *     kill   SIGKILL, as if the helper crashed
 *     segv   SIGSEGV, as if it had crashed by itself
 *     both   SIGKILL for the deputy, too
 *     stop   does nothing more, for ever
 *     late   SIGKILL, thaw (F15) only: when go was taken, and the deputy is gone
 *     hang   does nothing more, at that same moment
 *     exit   leaves without cleaning up
 *     fail   the phase fails, as if the kernel had refused
 *     stall  send (F09) only: not one byte more is sent
 */
enum fault_action {
	FAULT_NONE,
	FAULT_KILL,
	FAULT_SEGV,
	FAULT_BOTH,
	FAULT_STOP,
	FAULT_LATE,
	FAULT_HANG,
	FAULT_EXIT,
	FAULT_FAIL,
	FAULT_STALL
};

void faults_read(struct attempt *a);

/* Strikes if it is meant. Nonzero: the phase shall fail, and a->failure says so. */
int fault_strike(struct attempt *a, enum pmsm_phase phase);
void fault_strike_late(const struct attempt *a, enum pmsm_phase phase);
bool fault_is_stall(const struct attempt *a, enum pmsm_phase phase);

#endif
