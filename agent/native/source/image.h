/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_IMAGE_H
#define PMSM_IMAGE_H

#include "source/pipeline.h"

/* The image, as the kernel gives it, in chunks; then `end`. */
extern const struct cargo image_cargo;

#endif
