/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_PETTING_H
#define PMSM_PETTING_H

#include "common/base.h"

#define PETTED_MAX 4

/*
 * A hardware watchdog resets a machine that nobody has petted for a while. Who does that, systemd
 * say, is frozen in the window, and a machine that is held in doubt stands still for long. So
 * whoever has to go on, helper or deputy, pets it in their place. That is better than to stop it:
 * should both die, or the kernel hang, the machine is reset, and its boot guard waits for who owns
 * the disk; and a watchdog that nobody may stop (nowayout) is petted like others.
 *
 * A watchdog can be open once only. So this is the holder's own open file, by pidfd_getfd(2);
 * closed here, it stays open there. One that nobody has open is petted by the kernel, which goes on
 * with that.
 */
struct petting {
	size_t count;
	int fds[PETTED_MAX];
	uint64_t petted_ns;
};

/* Of every process; `prefix` is /dev/watchdog, or something else in a test. */
void petting_find(struct petting *petting, const char *prefix);
/* Often: it pets from time to time. */
void petting_pet(struct petting *petting);
/*
 * On the new body: its watchdog has never been started, and the kernel, which is the other one's,
 * believes that it runs.
 */
void petting_restart(struct petting *petting);
void petting_close(struct petting *petting);

#endif
