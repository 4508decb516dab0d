/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_OPTIONS_H
#define PMSM_OPTIONS_H

#include "common/codec.h"
#include "common/rtnl.h"
#include "common/sockets.h"

#define COMPRESSORS_MAX 8

/* What `pmsm-freeze run` was told. */
struct options {
	struct attempt_id id;
	char interface[INTERFACE_BYTES]; /* the device that carries the migration address */
	struct ipv4_network address;	 /* ours, here */
	struct endpoint orchestrator;
	struct endpoint target;
	struct ipv4_network target_address; /* ours, on the new body */
	uint8_t target_mac[MAC_BYTES];
	bool has_target_mac;
	char machine[64];	 /* our name, here */
	char target_machine[64]; /* and on the new body */
	char record[64];	 /* where the disk says who owns it; empty: nowhere */
	/* Says which machine this is; what it is to say on the new body lies beside it (.ATTEMPT).
	 */
	char identity[128];
	enum pmsm_engine engine;
	const struct codec *codec; /* NULL: by measurement */
	uint32_t stall_ms;
	uint32_t chunk_bytes;
	unsigned int threads;
	bool keep_cache;
	bool check;	       /* digests of all memory before and after, for tests */
	bool kernel_io_single; /* one page a call, as on a stock kernel */
};

/* False, after a message on stderr, if they are not complete and valid. */
bool options_parse(struct options *options, int argc, char **argv);
void options_usage(void);

#endif
