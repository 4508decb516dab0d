/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_JSON_H
#define PMSM_JSON_H

#include "common/base.h"

/* Writes JSON into a fixed buffer; commas are its own business. `full` means that it did not fit.
 */
struct json {
	char *text;
	size_t capacity;
	size_t used;
	bool full;
	bool comma;
};

void json_start(struct json *json, char *buffer, size_t capacity);
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);
void json_text(struct json *json, const char *key, const char *value);
void json_u64(struct json *json, const char *key, uint64_t value);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);
void json_hex64(struct json *json, const char *key, uint64_t value);

#endif
