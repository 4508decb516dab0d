/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_STANDBY_H
#define PMSM_STANDBY_H

#include "common/cmdline.h"
#include "common/fault.h"
#include "target/load.h"
#include "target/rehearse.h"

#define STREAM_PORT	     7072
#define CONTROL_BUFFER_BYTES (PMSM_HEADER_BYTES + PMSM_LIMIT_CONTROL_PAYLOAD_BYTES)

/*
 * The standby: waits for an attempt, loads its image, jumps on the order.
 *
 *     WAITING -> reserve -> RESERVED -> stream accepted -> LOADING -> all there -> READY -> jump
 *
 * From everywhere before the jump it goes back to WAITING: by abort, by an error, by the end of the
 * lease, and, before READY, by the end of a link. READY outlives the control link: the orchestrator
 * may have committed, so the standby connects again, names the attempt in its hello, and says ready
 * again.
 */
enum standby_state { STANDBY_WAITING, STANDBY_RESERVED, STANDBY_LOADING, STANDBY_READY };

struct standby {
	struct machine_settings settings;
	uint16_t stream_port;
	enum standby_state state;
	struct attempt_id id;
	uint32_t source_address;
	uint16_t port;
	uint32_t lease_ms;
	uint64_t lease_end_ns;

	struct netlink route;
	struct netdevs devices;
	struct link control;
	struct link stream;
	int listen_fd;
	struct snapshot_device snapshot;
	struct loader loader;
	uint64_t heard_ns; /* from the orchestrator */
	uint64_t asked_ns; /* last ping of ours */
	uint64_t told_ns;  /* last progress */
	uint64_t told_bytes;
	uint32_t told_rounds;
	bool told_receive;
	bool disks_released;
	enum rehearsal rehearsal;
	struct fault fault; /* test hook */

	uint8_t control_buffer[CONTROL_BUFFER_BYTES];
	uint8_t stream_buffer[CONTROL_BUFFER_BYTES];
	char facts[PMSM_LIMIT_CONTROL_PAYLOAD_BYTES];
};

/* The attempt failed here: both peers hear why, and the control link ends, as the protocol has it.
 */
void standby_give_up(struct standby *standby, const struct failure *failure);
uint64_t standby_send_deadline(void);

/* accept.c: takes a connection to the stream port, and begins to load if it is the source's. */
void standby_accept(struct standby *standby);

/* Does not return. */
void standby_run(struct standby *standby);

#endif
