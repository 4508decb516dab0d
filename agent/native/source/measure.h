/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_MEASURE_H
#define PMSM_MEASURE_H

#include "source/attempt.h"

/*
 * Chooses the codec by measurement: the link's rate with probes, each codec's rate and ratio on
 * memory of real processes. Fills a->codec and a->measured.
 */
int measure(struct attempt *a);

/* Predicted microseconds for a mebibyte of image; for the tests too. */
uint64_t predict_us_per_mib(uint64_t link_bytes_per_s, uint64_t codec_bytes_per_s,
			    uint64_t ratio_permille, unsigned int cpus);

#endif
