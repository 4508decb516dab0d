/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_WATCHDOG_H
#define PMSM_WATCHDOG_H

#include <pthread.h>

#include "common/snapshot.h"

/*
 * Ends a step that may wait for ever for something that stands still.
 *
 * FIFREEZE waits until nobody writes any more, and cannot be interrupted. If a process was frozen
 * inside a write, both wait for each other, and the machine would stand still for ever. So while
 * file systems are being frozen a thread watches: past the limit it thaws the processes, the writer
 * goes on, FIFREEZE comes back, and the phase fails. The kernel warns in its log that the thread
 * that had frozen them was another one; that is the price of a last resort.
 */
struct watchdog {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct snapshot_device *snapshot;
	_Atomic bool *standing; /* cleared before it thaws */
	uint64_t deadline_ns;
	bool done;
	bool bit; /* the limit was passed */
};

int watchdog_start(struct watchdog *watchdog, struct snapshot_device *snapshot,
		   _Atomic bool *standing, uint64_t limit_ms, uint8_t *stack, size_t stack_bytes);
/* Ends it; true if it had to act. */
bool watchdog_end(struct watchdog *watchdog);

#endif
