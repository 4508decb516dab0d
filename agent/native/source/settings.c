// SPDX-License-Identifier: GPL-2.0-only
#include "source/settings.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

bool setting_read(const char *path, char *text, size_t capacity)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, capacity - 1);
	close(fd);
	if (n <= 0 || (size_t)n == capacity - 1)
		return false;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return true;
}

bool setting_write(int directory, const char *path, const char *text)
{
	int fd = openat(directory, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

bool setting_change_with(struct settings *settings, const char *path, const char *value,
			 const char *undo)
{
	uint32_t at = atomic_load(&settings->count);
	struct setting *setting = &settings->list[at];

	if (at == SETTINGS_MAX || strlen(path) >= sizeof(setting->path) ||
	    strlen(undo) >= sizeof(setting->undo))
		return false;
	copy_text(setting->path, sizeof(setting->path), path);
	copy_text(setting->undo, sizeof(setting->undo), undo);
	/* Known before it is changed: restoring what was never changed does no harm. */
	atomic_store(&settings->count, at + 1);
	if (setting_write(AT_FDCWD, path, value))
		return true;
	atomic_store(&settings->count, at);
	return false;
}

bool setting_change(struct settings *settings, const char *path, const char *value)
{
	char before[SETTING_TEXT_BYTES];

	return setting_read(path, before, sizeof(before)) &&
	       setting_change_with(settings, path, value, before);
}

void settings_restore(struct settings *settings)
{
	uint32_t count;

	while ((count = atomic_load(&settings->count)) > 0) {
		const struct setting *last = &settings->list[count - 1];

		setting_write(AT_FDCWD, last->path, last->undo);
		atomic_store(&settings->count, count - 1);
	}
}
