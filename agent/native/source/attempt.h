/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_ATTEMPT_H
#define PMSM_ATTEMPT_H

#include "common/announce.h"
#include "common/fault.h"
#include "common/link.h"
#include "common/quarantine.h"
#include "common/snapshot.h"
#include "common/state.h"
#include "source/deputy.h"
#include "source/filesystems.h"
#include "source/guard.h"
#include "source/precopy.h"
#include "source/nudge.h"
#include "source/options.h"
#include "source/petting.h"
#include "source/throttle.h"

#define EDGES_MAX	     128
#define CONTROL_BUFFER_BYTES (PMSM_HEADER_BYTES + PMSM_LIMIT_CONTROL_PAYLOAD_BYTES)

/* A phase edge that happened; those that could not be sent yet wait here. */
struct edge {
	uint16_t phase;
	uint8_t edge;
	uint64_t cycles;
};

/* All that the source half knows about its attempt. One, allocated and locked before the window. */
struct attempt {
	struct options options;
	struct failure failure;
	uint8_t mac[MAC_BYTES]; /* of the migration device, here */
	int device_index;
	uint64_t cycles_khz; /* measured before the window: afterwards the counter is another one */

	struct link control;
	struct link stream;
	struct snapshot_device snapshot;
	struct quarantine quarantine;
	struct filesystems filesystems;
	struct guard guard;
	struct deputy deputy;
	int lock_fd; /* of attempt_lock(): kept until the end */
	struct throttle throttle;
	struct pipeline pipeline;
	struct netlink diag;
	struct announcer announcer;
	struct nudge nudge;
	struct petting petting;

	struct edge edges[EDGES_MAX];
	size_t edges_count;
	size_t edges_sent;
	size_t edges_logged;
	bool edges_wait; /* writing the log takes time, and wakes who reads it: not now */
	bool flow_open;	 /* the control link may be written to */

	const struct codec *codec;
	struct pmsm_msg_prepared measured;
	uint64_t progress_bytes;       /* what the target says it has loaded of the image */
	uint64_t progress_ahead_bytes; /* and of the rounds before it */
	uint32_t rounds_loaded;
	uint32_t predicted_ms;	   /* downtime, by the pre-copy; 0: nobody has predicted any */
	uint64_t copies_max;	   /* pages that may have changed since */
	uint64_t occupied_pfn;	   /* the standby lies in frames from here */
	uint64_t occupied_end_pfn; /* to here; 0: not known */
	uint64_t window_begin_cycles;
	uint32_t abort_code;
	bool snapshot_tried;
	char record_path[128]; /* the disk says there that an attempt is under way; or empty */
	uint64_t lease_ns;     /* when the kernel was last told not to thaw; see lease.c */
	struct fault fault;    /* test hook, see faults.h */

	uint8_t control_buffer[CONTROL_BUFFER_BYTES];
	uint8_t stream_buffer[CONTROL_BUFFER_BYTES];
};

static inline struct state_cell *attempt_state(struct attempt *a)
{
	return &a->guard.shared->state;
}

/* control.c: the link to the orchestrator, and the phase edges that travel on it */
void edge_mark(struct attempt *a, enum pmsm_phase phase, enum pmsm_edge edge);
void edges_flush(struct attempt *a);
void edges_log(struct attempt *a);
int control_connect(struct attempt *a, enum pmsm_role role, uint32_t from, uint64_t deadline_ns);
int control_send_id(struct attempt *a, uint16_t type);
/*
 * Nothing was heard for so long that the link must be taken for dead. Who only answers would never
 * learn that a peer has lost power: it sends nothing that could be missed.
 */
bool control_is_silent(uint64_t heard_ns);
void control_send_thawed(struct attempt *a, uint32_t code);
/* The kernel's own stamps; an unpatched kernel has none. */
void control_send_stamps(struct attempt *a);
bool frame_is_ours(const struct attempt *a, const struct frame *frame);
int answer_ping(struct link *link, const struct frame *frame);
/*
 * What may come before commit at any time: ping, pong, abort. Nonzero for an abort, with
 * a->failure, and -EPROTO for all else.
 */
int take_common_frame(struct attempt *a, const struct frame *frame);

/* prepare.c */
bool told_to_end(void); /* SIGTERM and SIGINT count until the window begins */
int prepare(struct attempt *a);
/* 0 with the order to begin the pre-copy, or the window. */
int await_precopy(struct attempt *a, struct precopy_limits *limits);
int await_freeze(struct attempt *a);

/* window.c */
int window_run(struct attempt *a);
/* What has to be known of the machine before it stands still: file systems to freeze, watchdogs to
 * pet. */
int look_around(struct attempt *a);
int await_commit(struct attempt *a);
int roll_back(struct attempt *a);
bool kernel_is_ours(struct attempt *a); /* has our patches */
/* While everything waits for this thread, it waits for nobody. */
void be_urgent(bool urgent);

/*
 * lease.c: the kernel thaws unless it is told not to. 0, also from a kernel that has no leases; -1
 * with a->failure if it has thawed.
 */
#define LEASE_MS 3000 /* with the stall limit it has to fit into 5 s */
int lease_renew(struct attempt *a, unsigned int ms);
/* In loops: renews it from time to time, and pets what would reset the machine. */
int lease_keep(struct attempt *a);

/*
 * disk-owner.c: what the disk says of its owner (common/ownership.h), if it says anything. begin()
 * fails with a->failure if another machine is the owner, or it cannot be written.
 */
int ownership_begin(struct attempt *a);
/* It is over, and this machine runs. */
void ownership_end(struct attempt *a, const char *machine);
/*
 * From go on this body is the machine that the target was: whoever looks, however this process
 * ends, has to find that. By a rename, which asks nobody for permission (guard.c).
 */
void identity_take(const struct attempt *a);

/* memcheck.c */
int memcheck_begin(struct attempt *a);
int memcheck_send(struct attempt *a);

/* hold.c: from commit on */
int hold_given_up(struct attempt *a);

/* rehome.c: on the new body */
int rehome(struct attempt *a);

#endif
