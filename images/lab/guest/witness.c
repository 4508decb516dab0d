// SPDX-License-Identifier: GPL-2.0-only
/*
 * witness: a service of the demo's machine that can tell whether a move changed anything.
 *
 * It holds random memory, owns a random file on the machine's disk, and answers every connection
 * with one line of JSON: digests of both, made anew each time (the file is read from the disk, not
 * from the page cache), and who it is: process id, start time, boot id, uptime. A machine that was
 * moved answers as before; one that was booted again, or lost a page or a block, does not.
 *
 *     witness serve [PORT [FILE]]
 *     witness query [PORT]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define WITNESS_PORT  7074
#define WITNESS_FILE  "/var/lib/witness.random"
#define WITNESS_BYTES (64u << 20)
#define BLOCK_BYTES   (1u << 20)
/* A kernel that debugs itself takes minutes for what another does in a second. */
#define TIMEOUT_S 300

struct witness {
	const uint8_t *memory;
	uint8_t *block; /* aligned, for direct reads */
	const char *path;
};

static int complain(const char *what)
{
	fprintf(stderr, "witness: %s: %s\n", what, strerror(errno));
	return -1;
}

/*
 * Every step is a bijection of the state for a given word, and of the word for a given state, so a
 * difference in any one word always shows. It guards against damage, not against an attacker.
 */
static uint64_t digest_words(uint64_t state, const uint8_t *data, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, data + at, sizeof(word));
		state = (state ^ word) * 0x9e3779b97f4a7c15u;
		state ^= state >> 29;
	}
	return state;
}

static int fill_random(uint8_t *data, size_t bytes)
{
	while (bytes > 0) {
		/* Beyond 32 MiB - 1 the kernel gives less than was asked for. */
		ssize_t got = getrandom(data, bytes < BLOCK_BYTES ? bytes : BLOCK_BYTES, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return complain("getrandom");
		data += got;
		bytes -= (size_t)got;
	}
	return 0;
}

static int write_block(int fd, const uint8_t *block)
{
	for (size_t done = 0; done < BLOCK_BYTES;) {
		ssize_t put = write(fd, block + done, BLOCK_BYTES - done);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return complain("write");
		done += (size_t)put;
	}
	return 0;
}

static int write_random_file(const struct witness *witness, int fd)
{
	for (size_t done = 0; done < WITNESS_BYTES; done += BLOCK_BYTES)
		if (fill_random(witness->block, BLOCK_BYTES) || write_block(fd, witness->block))
			return -1;
	if (fsync(fd))
		return complain("fsync");
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return 0;
}

/* Written once in the life of the disk: beside its name first, so that it is whole or not there. */
static int make_file(const struct witness *witness)
{
	struct stat status;
	char part[4096];
	int fd, result;

	if (!stat(witness->path, &status) && status.st_size == WITNESS_BYTES)
		return 0;
	if (snprintf(part, sizeof(part), "%s.part", witness->path) >= (int)sizeof(part)) {
		errno = ENAMETOOLONG;
		return complain(witness->path);
	}
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return complain(part);
	result = write_random_file(witness, fd);
	close(fd);
	if (!result && rename(part, witness->path))
		result = complain("rename");
	return result;
}

/* Reads past the page cache: direct where the file system can, else after dropping the cache. */
static int open_uncached(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);

	if (fd >= 0 || errno != EINVAL)
		return fd;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return fd;
}

static int digest_file(const struct witness *witness, uint64_t *digest, uint64_t *bytes)
{
	int fd = open_uncached(witness->path);
	ssize_t got = 1;

	*digest = 0;
	*bytes = 0;
	if (fd < 0)
		return complain(witness->path);
	while (*bytes < WITNESS_BYTES && got > 0) {
		got = read(fd, witness->block, BLOCK_BYTES);
		if (got < 0 && errno == EINTR) {
			got = 1;
			continue;
		}
		if (got > 0) {
			*digest = digest_words(*digest, witness->block, (size_t)got & ~7ul);
			*bytes += (uint64_t)got;
		}
	}
	if (got < 0)
		complain("read");
	close(fd);
	return got < 0 ? -1 : 0;
}

static int read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return complain(path);
	got = read(fd, text, size - 1);
	close(fd);
	if (got < 0)
		return complain(path);
	text[got] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

/* Field 22 of /proc/self/stat; the name, field 2, may hold spaces, so count from its end. */
static unsigned long long start_jiffies(void)
{
	char text[1024];
	char *at, *rest = NULL;

	if (read_text("/proc/self/stat", text, sizeof(text)))
		return 0;
	at = strrchr(text, ')');
	if (!at)
		return 0;
	at = strtok_r(at + 1, " ", &rest);
	for (int field = 3; at && field < 22; field++)
		at = strtok_r(NULL, " ", &rest);
	return at ? strtoull(at, NULL, 10) : 0;
}

static int describe(const struct witness *witness, char *line, size_t size)
{
	uint64_t memory_digest, file_digest, file_bytes;
	char boot_id[64];
	struct timespec up;

	if (digest_file(witness, &file_digest, &file_bytes))
		return -1;
	memory_digest = digest_words(0, witness->memory, WITNESS_BYTES);
	if (read_text("/proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id)))
		return -1;
	clock_gettime(CLOCK_BOOTTIME, &up);
	return snprintf(line, size,
			"{\"version\":1,\"pid\":%d,\"start_jiffies\":%llu,\"boot_id\":\"%s\","
			"\"uptime_ms\":%lld,\"memory_bytes\":%u,\"memory_digest\":\"%016llx\","
			"\"file_bytes\":%llu,\"file_digest\":\"%016llx\"}\n",
			getpid(), start_jiffies(), boot_id,
			(long long)up.tv_sec * 1000 + up.tv_nsec / 1000000, WITNESS_BYTES,
			(unsigned long long)memory_digest, (unsigned long long)file_bytes,
			(unsigned long long)file_digest);
}

static void answer(const struct witness *witness, int client)
{
	const struct timeval limit = {.tv_sec = TIMEOUT_S};
	char line[1024];
	int bytes;

	setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	bytes = describe(witness, line, sizeof(line));
	if (bytes > 0 && write(client, line, (size_t)bytes) != bytes)
		complain("answer");
}

static int listen_on(uint16_t port)
{
	const struct sockaddr_in address = {
	    .sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_ANY),
	};
	const int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return complain("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, 8))
		return complain("listen");
	return fd;
}

static int serve(uint16_t port, const char *path)
{
	struct witness witness = {.path = path};
	uint8_t *memory =
	    mmap(NULL, WITNESS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int listener;

	witness.block = aligned_alloc(4096, BLOCK_BYTES);
	if (memory == MAP_FAILED || !witness.block)
		return complain("memory");
	if (fill_random(memory, WITNESS_BYTES))
		return -1;
	witness.memory = memory;
	if (make_file(&witness))
		return -1;
	signal(SIGPIPE, SIG_IGN);
	listener = listen_on(port);
	if (listener < 0)
		return -1;
	for (;;) {
		int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0) {
			if (errno == EMFILE || errno == EBADF || errno == EINVAL)
				return complain("accept");
			continue;
		}
		answer(&witness, client);
		close(client);
	}
}

static int query(uint16_t port)
{
	const struct sockaddr_in address = {
	    .sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const struct timeval limit = {.tv_sec = TIMEOUT_S};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t bytes = 0;
	char line[1024];
	ssize_t got;

	if (fd < 0)
		return complain("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return complain("connect");
	while (bytes < sizeof(line)) {
		got = read(fd, line + bytes, sizeof(line) - bytes);
		if (got < 0)
			return complain("read");
		if (got == 0)
			break;
		bytes += (size_t)got;
	}
	if (bytes == 0 || line[bytes - 1] != '\n') {
		errno = EPROTO;
		return complain("no answer");
	}
	return fwrite(line, 1, bytes, stdout) == bytes ? 0 : -1;
}

static uint16_t parse_port(const char *text)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	return *text && !*end && port > 0 && port < 65536 ? (uint16_t)port : 0;
}

int main(int count, char **words)
{
	const char *verb = count > 1 ? words[1] : "";
	uint16_t port = count > 2 ? parse_port(words[2]) : WITNESS_PORT;

	if (port && !strcmp(verb, "serve") && count <= 4)
		return serve(port, count > 3 ? words[3] : WITNESS_FILE) ? 1 : 0;
	if (port && !strcmp(verb, "query") && count <= 3)
		return query(port) ? 1 : 0;
	fprintf(stderr, "usage: witness serve [PORT [FILE]] | witness query [PORT]\n");
	return 2;
}
