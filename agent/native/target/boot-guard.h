/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_BOOT_GUARD_H
#define PMSM_BOOT_GUARD_H

#include "common/cmdline.h"
#include "common/ownership.h"

/*
 * May this machine boot from the disk?
 *
 * Asked in the initramfs of every host that takes part in migrations, before anything is mounted. A
 * reset in the middle of an attempt (power, a watchdog, a panic) must not let two machines run with
 * one disk; so a machine boots only if it is the owner for certain, and else waits as a standby.
 *
 *     OWNED by this machine      it boots
 *     OWNED by another one       it waits
 *     MOVING                     the orchestrator's records decide; it asks until they do
 *     none, or it cannot be read nobody can tell: it waits, and says what a person can do
 *
 * The answer to a MOVING record is never written down here: whoever runs writes that he is the
 * owner.
 */
enum boot_verdict { BOOT, WAIT, ASK };

/* By the record alone; `error` is what ownership_read() gave. Says why. */
enum boot_verdict boot_verdict(int error, const struct ownership *ownership, const char *machine);

/* Decides, however long that takes. */
enum boot_verdict boot_guard(const struct machine_settings *settings);

#endif
