/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_SETTINGS_H
#define PMSM_SETTINGS_H

#include "common/base.h"

#define SETTINGS_MAX	   32
#define SETTING_PATH_BYTES 256
#define SETTING_TEXT_BYTES 64

/*
 * Settings of the kernel that an attempt changes, with what brings them back, newest last. They lie
 * in memory that the guard has, too: whoever dies, the other one restores them.
 */
struct settings {
	_Atomic uint32_t count;
	struct setting {
		char path[SETTING_PATH_BYTES];
		char undo[SETTING_TEXT_BYTES];
	} list[SETTINGS_MAX];
};

/*
 * Best effort: each makes something shorter, none decides whether it works. False if the file
 * cannot be read or written or the list is full; nothing was changed then.
 */
bool setting_change(struct settings *settings, const char *path, const char *value);
/* For a file that takes other words than it tells: `undo` is what brings it back. */
bool setting_change_with(struct settings *settings, const char *path, const char *value,
			 const char *undo);
/* In reverse order. */
void settings_restore(struct settings *settings);

/* All of a text in one call, relative to an open directory or AT_FDCWD; true if it was taken. */
bool setting_write(int directory, const char *path, const char *text);
/* The text of a small file without its end of line; false if there is none. */
bool setting_read(const char *path, char *text, size_t capacity);

#endif
