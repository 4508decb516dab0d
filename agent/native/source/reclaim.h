/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_RECLAIM_H
#define PMSM_RECLAIM_H

#include "common/base.h"

/*
 * Gives memory back that need not travel, while the machine still runs: clean page cache. What is
 * missed is read from the shared disk when somebody asks for it. In the window the kernel would do
 * the same for its image, but takes longer than sending does.
 *
 * drop_caches leaves mapped pages alone (programs, libraries), which are most of the cache of a
 * machine with one service. For these the control groups are asked (memory.reclaim, cgroup v2;
 * `swappiness` since Linux 6.11): never to swap, and the colder half only. To take
 * all of it costs the service more than it saves: a client waited 1.4 s for programs to be
 * read again, to have a window that was 0.6 s shorter.
 */
void reclaim_cache(uint64_t deadline_ns);

#endif
