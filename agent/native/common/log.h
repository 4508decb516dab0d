/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_LOG_H
#define PMSM_LOG_H

#include "common/base.h"

/*
 * Texts go to stderr, events (one JSON document a line) to stdout.
 *
 * In the frozen window neither may block: the reader of a pipe is frozen, and a regular file may
 * lie on a frozen file system. So pipes and sockets are written without waiting, a line that does
 * not fit is dropped; everything else is kept in memory while log_hold(true) holds, and written by
 * log_hold(false).
 */
void log_start(const char *program);
void log_hold(bool hold);
__attribute__((format(printf, 1, 2))) void log_text(const char *format, ...);
void log_event(const char *json);

#endif
