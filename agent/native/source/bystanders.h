/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_BYSTANDERS_H
#define PMSM_BYSTANDERS_H

#include "source/niceness.h"

/*
 * When processes are thawed all of them want to run, and whoever waits for a service waits for all
 * that come before it. Two kinds have much to do then that can wait: who reads what the kernel says
 * (the journal, a system logger), since a jump makes it say a lot, and the agent, which hears of
 * our end. With one emulated processor the journal alone took 26 of the 150 ms between the thaw and
 * the client's answer. So they are as nice as can be from the last round until the services have
 * caught up.
 *
 * What they were lies in memory that the guard has, too: whoever dies, the other one brings it
 * back.
 */
#define BYSTANDERS_MAX 16
/* From the thaw, or a little later, until services have caught up. */
#define CATCH_UP_MS 1000

struct bystanders {
	_Atomic uint32_t count;
	struct bystander {
		int pid;
		uint64_t started; /* clock ticks after boot: with the pid it names a process */
		struct niceness niceness;
		_Atomic bool stands_back;
	} list[BYSTANDERS_MAX];
};

/*
 * Looks for who has one of these files open, until the deadline, and remembers the agent besides
 * (0: there is none). To be called while the machine works; touches nobody.
 */
void bystanders_find(struct bystanders *b, const char *const *files, size_t files_count, int agent,
		     uint64_t deadline_ns);
/* Those that are still there, unless its threads differ: what each was could not be remembered. */
void bystanders_stand_back(struct bystanders *b);
void bystanders_return(struct bystanders *b);

/* What the kernel's words are read from. */
extern const char *const kernel_log_files[2];

#endif
