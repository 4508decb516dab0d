// SPDX-License-Identifier: GPL-2.0-only
/* The framed connection, against a socket pair with a hostile other end. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/link.h"
#include "test.h"

#define FUZZ_ROUNDS 3000

static uint8_t buffer_a[PMSM_HEADER_BYTES + PMSM_LIMIT_CONTROL_PAYLOAD_BYTES];
static uint8_t buffer_b[PMSM_HEADER_BYTES + PMSM_LIMIT_CONTROL_PAYLOAD_BYTES];

static void pair(struct link *a, struct link *b)
{
	int fds[2] = {-1, -1};

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		abort();
	link_open(a, fds[0], buffer_a, sizeof(buffer_a), PMSM_LIMIT_CONTROL_PAYLOAD_BYTES);
	link_open(b, fds[1], buffer_b, sizeof(buffer_b), PMSM_LIMIT_CONTROL_PAYLOAD_BYTES);
}

static void unpair(struct link *a, struct link *b)
{
	link_close(a);
	link_close(b);
}

static void test_round_trip(void)
{
	struct pmsm_msg_ping ping = {.cookie = 42}, got;
	struct pmsm_msg_error error = {.code = PMSM_E_STALLED};
	struct link a, b;
	struct frame frame;

	pair(&a, &b);
	CHECK(link_next(&b, &frame) == 0, "nothing there yet");
	CHECK(link_send(&a, PMSM_MSG_PING, &ping, NULL, 0, clock_deadline_ms(100)) == 0, "ping");
	CHECK(link_send(&a, PMSM_MSG_ERROR, &error, "why", 3, clock_deadline_ms(100)) == 0,
	      "error with a tail");
	CHECK(link_wait(&b, &frame, clock_deadline_ms(100)) == 0 && frame.type == PMSM_MSG_PING,
	      "ping arrives");
	memcpy(&got, frame.payload, sizeof(got));
	CHECK(got.cookie == 42, "with its cookie");
	CHECK(link_wait(&b, &frame, clock_deadline_ms(100)) == 0 && frame.tail_bytes == 3 &&
		  memcmp(frame.tail, "why", 3) == 0,
	      "error arrives with its tail");
	CHECK(link_wait(&b, &frame, clock_deadline_ms(20)) == -ETIMEDOUT, "then silence");
	CHECK(link_send(&a, PMSM_MSG_ERROR, &error, buffer_b, PMSM_LIMIT_DETAIL_BYTES + 1,
			clock_deadline_ms(100)) == -EPROTO,
	      "a tail beyond its limit is not sent");
	link_close(&a);
	CHECK(link_wait(&b, &frame, clock_deadline_ms(100)) == -ECONNRESET, "the end is seen");
	CHECK(link_send(&b, PMSM_MSG_PING, &ping, NULL, 0, clock_deadline_ms(100)) == -ECONNRESET,
	      "sending to nobody is an answer, not a signal");
	unpair(&a, &b);
}

static void test_pieces(void)
{
	struct pmsm_msg_ping ping = {.cookie = 7};
	uint8_t bytes[PMSM_HEADER_BYTES + sizeof(ping)];
	struct link a, b;
	struct frame frame;
	bool early = false;

	pair(&a, &b);
	link_send(&a, PMSM_MSG_PING, &ping, NULL, 0, clock_deadline_ms(100));
	if (recv(b.fd, bytes, sizeof(bytes), 0) != sizeof(bytes))
		abort();
	for (size_t i = 0; i < sizeof(bytes); i++) {
		early |= link_next(&b, &frame) != 0;
		if (send(a.fd, bytes + i, 1, 0) != 1)
			abort();
	}
	CHECK(!early, "a frame in single bytes is not there before its last byte");
	CHECK(link_next(&b, &frame) == 1, "and then it is");
	if (send(a.fd, bytes, sizeof(bytes), 0) < 0)
		abort();
	CHECK(link_next(&b, &frame) == -EPROTO, "the same frame again has the wrong sequence");
	unpair(&a, &b);
}

static void test_deadline_of_sender(void)
{
	static uint8_t data[PMSM_LIMIT_PROBE_BYTES];
	struct pmsm_msg_probe probe = {0};
	uint64_t begin = clock_ns();
	struct link a, b;
	int error = 0;

	pair(&a, &b);
	while (!error)
		error = link_send(&a, PMSM_MSG_PROBE, &probe, data, sizeof(data),
				  clock_deadline_ms(50));
	CHECK(error == -ETIMEDOUT && clock_ns() - begin < 2 * NS_PER_S,
	      "a peer that does not read ends the send at its deadline");
	unpair(&a, &b);
}

/*
 * Damages valid frames, and sends noise: every answer is fine but a crash, a hang, or acceptance of
 * a frame whose bytes are not what a sender made.
 */
static void test_fuzz(void)
{
	unsigned int seed = 20240601;
	int accepted = 0;

	for (int round = 0; round < FUZZ_ROUNDS; round++) {
		uint8_t bytes[PMSM_HEADER_BYTES + 64];
		struct pmsm_msg_go go = {.generation = (uint64_t)round};
		struct link a, b;
		struct frame frame;
		ssize_t n;

		pair(&a, &b);
		link_send(&a, PMSM_MSG_GO, &go, NULL, 0, clock_deadline_ms(100));
		n = recv(b.fd, bytes, sizeof(bytes), 0);
		if (n <= 0)
			abort();
		if (round % 3 == 0)
			for (ssize_t i = 0; i < n; i++)
				bytes[i] = (uint8_t)rand_r(&seed);
		else
			bytes[(size_t)rand_r(&seed) % (size_t)n] ^=
			    (uint8_t)(1 + rand_r(&seed) % 255);
		if (send(a.fd, bytes, (size_t)n, 0) != n)
			abort();
		link_close(&a);
		if (link_wait(&b, &frame, clock_deadline_ms(200)) == 0)
			accepted++;
		unpair(&a, &b);
	}
	CHECK(accepted == 0, "%d damaged frames, %d accepted", FUZZ_ROUNDS, accepted);
}

static void test_halves(void)
{
	static uint8_t payload[sizeof(struct pmsm_msg_chunk) + PAGE_BYTES], got[sizeof(payload)];
	struct pmsm_msg_chunk fixed = {.raw_bytes = PAGE_BYTES};
	uint64_t digest;
	struct link a, b;
	struct frame frame;
	_Atomic uint64_t moved = 0;

	pair(&a, &b);
	memcpy(payload, &fixed, sizeof(fixed));
	payload[100] = 9;
	digest = digest_bytes(payload, sizeof(payload));
	CHECK(link_send_payload(&a, PMSM_MSG_CHUNK, payload, sizeof(payload), digest,
				clock_deadline_ms(100), &moved) == 0 &&
		  moved == PMSM_HEADER_BYTES + sizeof(payload),
	      "a payload in one piece, counted");
	CHECK(link_receive_header(&b, &frame, clock_deadline_ms(100)) == 0 &&
		  frame.payload_bytes == sizeof(payload) && frame.digest == digest,
	      "header first");
	CHECK(link_receive_payload(&b, &frame, got, clock_deadline_ms(100)) == 0 &&
		  memcmp(payload, got, sizeof(payload)) == 0,
	      "then the payload, straight to its place");
	b.payload_limit = sizeof(payload) - 1;
	link_send_payload(&a, PMSM_MSG_CHUNK, payload, sizeof(payload), digest,
			  clock_deadline_ms(100), NULL);
	CHECK(link_receive_header(&b, &frame, clock_deadline_ms(100)) == -EPROTO,
	      "more than the receiver's limit is refused by the header alone");
	unpair(&a, &b);
}

int main(void)
{
	test_round_trip();
	test_pieces();
	test_deadline_of_sender();
	test_halves();
	test_fuzz();
	return test_end();
}
