// SPDX-License-Identifier: GPL-2.0-only
#include "common/state.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/log.h"

#define TO(state) (1u << (state))

static const struct {
	const char *name;
	uint32_t next;
} table[STATES] = {
    [STATE_STARTED] = {"started", TO(STATE_PREPARED) | TO(STATE_FAILED)},
    [STATE_PREPARED] = {"prepared", TO(STATE_QUARANTINED) | TO(STATE_THAWING) | TO(STATE_FAILED)},
    [STATE_QUARANTINED] = {"quarantined", TO(STATE_FROZEN) | TO(STATE_THAWING)},
    [STATE_FROZEN] = {"frozen", TO(STATE_SNAPSHOT) | TO(STATE_THAWING)},
    [STATE_SNAPSHOT] = {"snapshot", TO(STATE_SENDING) | TO(STATE_RESUMED) | TO(STATE_THAWING)},
    [STATE_SENDING] = {"sending", TO(STATE_SENT) | TO(STATE_THAWING)},
    [STATE_SENT] = {"sent", TO(STATE_GIVEN_UP) | TO(STATE_THAWING)},
    /* The only two ways on are orders. */
    [STATE_GIVEN_UP] = {"given-up", TO(STATE_RELEASED) | TO(STATE_THAWING)},
    [STATE_RELEASED] = {"released", 0},
    /* The only way on is the order `go`: a resumed body never gives itself up to anything. */
    [STATE_RESUMED] = {"resumed", TO(STATE_OWNER)},
    [STATE_OWNER] = {"owner", TO(STATE_MOVED)},
    [STATE_MOVED] = {"moved", 0},
    [STATE_THAWING] = {"thawing", TO(STATE_ROLLED_BACK)},
    [STATE_ROLLED_BACK] = {"rolled-back", 0},
    [STATE_FAILED] = {"failed", 0},
};

const char *state_name(enum state state)
{
	return (unsigned int)state < STATES ? table[state].name : "unknown";
}

bool state_move_is_legal(enum state from, enum state to)
{
	return (unsigned int)from < STATES && (unsigned int)to < STATES &&
	       (table[from].next & TO(to)) != 0;
}

enum state state_get(const struct state_cell *cell)
{
	return (enum state)atomic_load(&((struct state_cell *)(uintptr_t)cell)->value);
}

void state_move(struct state_cell *cell, enum state from, enum state to)
{
	int expected = from;

	if (state_move_is_legal(from, to) &&
	    atomic_compare_exchange_strong(&cell->value, &expected, (int)to))
		return;
	log_text("fault: state %s -> %s is not allowed, the state is %s", state_name(from),
		 state_name(to), state_name((enum state)expected));
	abort();
}

void state_leave(struct state_cell *cell, enum state to)
{
	state_move(cell, state_get(cell), to);
}
