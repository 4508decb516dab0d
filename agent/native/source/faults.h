/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_FAULTS_H
#define PMSM_FAULTS_H

#include "source/attempt.h"

/*
 * The faults of common/fault.h, and those that only the source's helper has:
 *     fail    the phase fails, as if the kernel had refused
 *     both    SIGKILL for the deputy, too
 *     deputy  SIGKILL for the deputy alone
 *     guard   SIGKILL for the guard, which is frozen in the window, and then dies as it wakes up
 *     late    SIGKILL, thaw (F15) only: when go was taken, and the deputy is gone
 *     hang    does nothing more, at that same moment
 *     stall   send (F09) only: not one byte more is sent
 */

/* Strikes if it is meant. Nonzero: the phase shall fail, and a->failure says so. */
int fault_strike(struct attempt *a, enum pmsm_phase phase);
void fault_strike_late(const struct attempt *a, enum pmsm_phase phase);
bool fault_is_stall(const struct attempt *a, enum pmsm_phase phase);

#endif
