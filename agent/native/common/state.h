/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_STATE_H
#define PMSM_STATE_H

#include "common/base.h"

/*
 * State of the source's attempt. Every change goes through state_move(): a compare-and-swap that
 * checks the table of legal transitions. An illegal one is a fault of ours, and ends the process:
 * before GIVEN_UP that thaws the source, afterwards it changes nothing (see source/guard.h).
 */
enum state {
	STATE_STARTED,	   /* nothing was changed */
	STATE_PREPARED,	   /* connected, measured, ready for the order */
	STATE_QUARANTINED, /* service traffic is dropped */
	STATE_FROZEN,	   /* processes and file systems stand still */
	STATE_SNAPSHOT,	   /* the kernel takes the image; this state is in it */
	STATE_SENDING,	   /* on the source: the image exists and is sent */
	STATE_SENT,	   /* all of it was handed to the network */
	STATE_GIVEN_UP,	   /* thaws only on the order */
	STATE_RELEASED,	   /* moved away; about to power off */
	STATE_RESUMED,	   /* on the new body, may touch nothing */
	STATE_OWNER,	   /* go arrived: this body is the machine */
	STATE_MOVED,	   /* it runs */
	STATE_THAWING,	   /* on the way back */
	STATE_ROLLED_BACK, /* the source runs again */
	STATE_FAILED,	   /* ended before anything was changed */
	STATES
};

struct state_cell {
	_Atomic int value;
};

bool state_move_is_legal(enum state from, enum state to);
void state_move(struct state_cell *cell, enum state from, enum state to);
/* Like state_move(), but from whatever it is; only to THAWING and FAILED. */
void state_leave(struct state_cell *cell, enum state to);
enum state state_get(const struct state_cell *cell);
const char *state_name(enum state state);

#endif
