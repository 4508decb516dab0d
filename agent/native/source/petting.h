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

/*
 * Of every process; `prefix` is /dev/watchdog, or something else in a test. Nonzero, -errno, if one
 * is open that cannot be had: nothing may stand still then. Late, since who holds one may let it
 * go, and could not as long as it is ours.
 */
int petting_find(struct petting *petting, const char *prefix);
/* Often: it pets from time to time. */
void petting_pet(struct petting *petting);
/* Before something that takes long. */
void petting_pet_now(struct petting *petting);
/*
 * On the new body the register of the watchdog holds another machine's timeout, and the kernel,
 * which is the other one's, believes that it knows it. First of all there, since some drivers start
 * it as the device comes back.
 */
void petting_set_timeouts(struct petting *petting);
/* And others do not start it at all: when the machine is the owner, it is stopped and started,
 * timeout included. */
void petting_restart(struct petting *petting);
void petting_close(struct petting *petting);

#endif
