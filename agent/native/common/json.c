// SPDX-License-Identifier: GPL-2.0-only
#include "common/json.h"

#include <stdarg.h>
#include <stdio.h>

void json_start(struct json *json, char *buffer, size_t capacity)
{
	*json = (struct json){.text = buffer, .capacity = capacity};
	buffer[0] = '\0';
}

static void put_char(struct json *json, char c)
{
	if (json->used + 1 >= json->capacity) {
		json->full = true;
		return;
	}
	json->text[json->used++] = c;
	json->text[json->used] = '\0';
}

static void put_plain(struct json *json, const char *s)
{
	for (; *s; s++)
		put_char(json, *s);
}

static void put_string(struct json *json, const char *s)
{
	char escaped[8];

	put_char(json, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\') {
			put_char(json, '\\');
			put_char(json, (char)c);
		} else if (c < 0x20 || c >= 0x7f) {
			/* Bytes beyond ASCII come from firmware tables in no known encoding. */
			snprintf(escaped, sizeof(escaped), "\\u%04x", c);
			put_plain(json, escaped);
		} else {
			put_char(json, (char)c);
		}
	}
	put_char(json, '"');
}

static void put_key(struct json *json, const char *key)
{
	if (json->comma)
		put_char(json, ',');
	json->comma = true;
	if (key) {
		put_string(json, key);
		put_char(json, ':');
	}
}

void json_open(struct json *json, const char *key, char bracket)
{
	put_key(json, key);
	put_char(json, bracket);
	json->comma = false;
}

void json_close(struct json *json, char bracket)
{
	put_char(json, bracket);
	json->comma = true;
}

void json_text(struct json *json, const char *key, const char *value)
{
	put_key(json, key);
	put_string(json, value);
}

static void put_number(struct json *json, const char *key, const char *format, uint64_t value)
{
	char text[40];

	put_key(json, key);
	snprintf(text, sizeof(text), format, (unsigned long long)value);
	put_plain(json, text);
}

void json_u64(struct json *json, const char *key, uint64_t value)
{
	put_number(json, key, "%llu", value);
}

void json_hex64(struct json *json, const char *key, uint64_t value)
{
	put_number(json, key, "\"%016llx\"", value);
}

void json_bool(struct json *json, const char *key, bool value)
{
	put_key(json, key);
	put_plain(json, value ? "true" : "false");
}

void json_null(struct json *json, const char *key)
{
	put_key(json, key);
	put_plain(json, "null");
}
