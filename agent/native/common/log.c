// SPDX-License-Identifier: GPL-2.0-only
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

#define HELD_BYTES 16384
#define LINE_BYTES 1024

/* The process has one stdout and one stderr, so one state for each is all there can be. */
static struct output {
	int fd;
	bool is_pipe;
	bool is_socket;
	size_t held_bytes;
	char held[HELD_BYTES];
} outputs[2] = {{.fd = 1}, {.fd = 2}};
static const char *program_name = "pmsm";
static bool holding;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void log_start(const char *program)
{
	struct stat st;

	program_name = program;
	for (size_t i = 0; i < ARRAY_SIZE(outputs); i++) {
		struct output *o = &outputs[i];

		if (fstat(o->fd, &st) < 0)
			continue;
		o->is_pipe = S_ISFIFO(st.st_mode);
		o->is_socket = S_ISSOCK(st.st_mode);
		if (o->is_pipe)
			fcntl(o->fd, F_SETFL, fcntl(o->fd, F_GETFL) | O_NONBLOCK);
	}
}

static void write_all(int fd, const char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(fd, data, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		data += n;
		bytes -= (size_t)n;
	}
}

static void put_line(struct output *o, const char *line, size_t bytes)
{
	pthread_mutex_lock(&lock);
	if (o->is_socket) {
		(void)!send(o->fd, line, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
	} else if (o->is_pipe || !holding) {
		write_all(o->fd, line, bytes);
	} else if (o->held_bytes + bytes <= HELD_BYTES) {
		memcpy(o->held + o->held_bytes, line, bytes);
		o->held_bytes += bytes;
	}
	pthread_mutex_unlock(&lock);
}

void log_hold(bool hold)
{
	pthread_mutex_lock(&lock);
	holding = hold;
	for (size_t i = 0; !hold && i < ARRAY_SIZE(outputs); i++) {
		write_all(outputs[i].fd, outputs[i].held, outputs[i].held_bytes);
		outputs[i].held_bytes = 0;
	}
	pthread_mutex_unlock(&lock);
}

void log_text(const char *format, ...)
{
	char line[LINE_BYTES];
	uint64_t now = clock_ns() / NS_PER_MS;
	va_list args;
	int head, body;

	head = snprintf(line, sizeof(line), "%s [%llu.%03llu] ", program_name,
			(unsigned long long)(now / 1000), (unsigned long long)(now % 1000));
	va_start(args, format);
	body = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, args);
	va_end(args);
	if (body < 0)
		return;
	if ((size_t)(head + body) > sizeof(line) - 2)
		body = (int)sizeof(line) - 2 - head;
	line[head + body] = '\n';
	put_line(&outputs[1], line, (size_t)(head + body + 1));
}

void log_event(const char *json)
{
	char line[LINE_BYTES];
	int n = snprintf(line, sizeof(line), "%s\n", json);

	if (n > 0 && (size_t)n < sizeof(line))
		put_line(&outputs[0], line, (size_t)n);
}

int failure_set(struct failure *failure, uint16_t code, int system_errno, const char *format, ...)
{
	va_list args;

	/* The first failure is the cause, what comes after it is a consequence. */
	if (failure->code != PMSM_E_NONE)
		return -1;
	failure->code = code;
	failure->system_errno = system_errno < 0 ? -system_errno : system_errno;
	va_start(args, format);
	vsnprintf(failure->detail, sizeof(failure->detail), format, args);
	va_end(args);
	return -1;
}
