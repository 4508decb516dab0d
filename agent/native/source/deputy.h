/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_DEPUTY_H
#define PMSM_DEPUTY_H

#include <stdbool.h>
#include <sys/types.h>

struct attempt;

/*
 * Who keeps the promise if the helper dies after it has given up, or on the new body?
 *
 * Two things would go wrong. The kernel thaws when /dev/snapshot is closed, so that two machines
 * could run. And nobody would be left to take the order that decides: all other processes are
 * frozen, the guard, too.
 *
 * So a second process, the deputy, is forked when all others are frozen already. The freezer leaves
 * children of whoever called it alone, so it runs; it has the device open, so nothing thaws; and it
 * is in the image, so the new body has one. It sleeps until the helper dies, and then looks at the
 * state, which both have in memory:
 *
 *     GIVEN_UP, RELEASED  goes on as the source that has given up: connects anew, waits for the
 * order RESUMED             goes on as the resumed machine, from its first act on THAWING, OWNER
 * the order was there: lets the kernel thaw; the guard does the rest all others          nothing
 * was promised: the same
 *
 * It knows what the helper knew right before the snapshot, in a copy of its own: that is what the
 * helper itself starts from on the new body, and what a helper that damaged its memory has not
 * damaged. All that is done from there on may be done twice.
 *
 * It must be gone before the helper thaws processes: the kernel takes a task that is not to be
 * frozen for a mistake then.
 *
 * Should both die, a kernel with our patches stays frozen (kernel-patches/abi/hold.rst). Another
 * one thaws; then the guard keeps the machine off its disks and the network (source/guard.h).
 */
struct deputy {
	pid_t pid;
	int alive_fd; /* the helper's end of a pipe: its closing wakes the deputy */
};

/*
 * 0 in the helper, or -errno. Returns true in *takes_over in the deputy, once the helper has died
 * and the state says that somebody has to go on.
 */
int deputy_start(struct attempt *a, bool *takes_over);
void deputy_end(struct attempt *a);

#endif
