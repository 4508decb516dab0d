/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SNAPSHOT_KERNEL_LOG_H
#define SNAPSHOT_KERNEL_LOG_H

#include "harness.h"
#include <sys/klog.h>

#define KERNEL_LOG_READ_ALL	3	/* of syslog(2) */
#define KERNEL_LOG_BYTES	(1UL << 18)

static const char *kernel_log(void)
{
	static char log[KERNEL_LOG_BYTES + 1];
	int n = klogctl(KERNEL_LOG_READ_ALL, log, KERNEL_LOG_BYTES);

	must(n >= 0, "klogctl");
	log[n] = '\0';
	return log;
}

#endif
