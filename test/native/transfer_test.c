// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole way of an image from one /dev/snapshot to another, and everything that can go wrong on
 * it.
 */
#include "transfer.h"

static void test_good(unsigned int codec, unsigned int threads, size_t step)
{
	struct transfer *t = begin(threads);

	t->from.step = t->to.step = step;
	run_loader(t, 2000);
	run_pipeline(t, &image_cargo, codec);
	CHECK(wait_loader(t) && t->loader.finished &&
		  memcmp(source_image, target_image, IMAGE_BYTES) == 0,
	      "%s, %u threads, %zu KiB a call: the image arrives", codec_by_id(codec)->name,
	      threads, step == SIZE_MAX ? 0 : step / 1024);
	pipeline_stop(&t->pipeline);
	CHECK(t->pipeline.sent_all && t->pipeline.chain == t->loader.chain &&
		  t->pipeline.chunks == t->loader.chunks &&
		  t->pipeline.image_bytes == IMAGE_BYTES && t->loader.raw_bytes == IMAGE_BYTES,
	      "both sides count and digest the same");
	CHECK(t->pipeline.saveable_bytes == (2 * 512 + 10) * (uint64_t)PAGE_BYTES,
	      "the list of frames was counted");
	end(t);
}

static void test_read_error(void)
{
	struct transfer *t = begin(2);

	t->from.fail_at = 40 * PAGE_BYTES;
	t->from.fail_errno = EIO;
	t->from.step = PAGE_BYTES;
	run_loader(t, 2000);
	run_pipeline(t, &image_cargo, PMSM_CODEC_LZ4);
	while (!t->pipeline.error)
		clock_sleep_ms(1);
	CHECK(t->pipeline.error == -EIO && t->pipeline.error_is_read,
	      "a read error is known as one");
	pipeline_stop(&t->pipeline);
	CHECK(!t->pipeline.sent_all, "nothing is called complete");
	CHECK(wait_loader(t) && t->loader.failed && t->loader.failure.code == PMSM_E_STREAM_FAILED,
	      "the target sees the stream end");
	end(t);
}

static void test_write_error(int error, size_t at, uint16_t code)
{
	struct transfer *t = begin(1);

	t->to.fail_at = at;
	t->to.fail_errno = error;
	t->to.step = PAGE_BYTES;
	run_loader(t, 2000);
	run_pipeline(t, &image_cargo, PMSM_CODEC_NONE);
	CHECK(wait_loader(t) && t->loader.failed && t->loader.failure.code == code &&
		  t->loader.failure.system_errno == error,
	      "the kernel's %s becomes %s", strerror(error), pmsm_error_name(code));
	end(t);
}

static void test_too_long(void)
{
	struct transfer *t = begin(1);

	t->to.bytes = IMAGE_BYTES / 2;
	run_loader(t, 2000);
	run_pipeline(t, &image_cargo, PMSM_CODEC_LZ4);
	CHECK(wait_loader(t) && t->loader.failed && t->loader.failure.code == PMSM_E_IMAGE_REJECTED,
	      "an image longer than its list is rejected");
	end(t);
}

static void test_slow_target_is_bounded(void)
{
	struct transfer *t = begin(1);

	t->to.pause_us = 2000;
	t->to.step = 4 * PAGE_BYTES;
	run_loader(t, 5000);
	run_pipeline(t, &image_cargo, PMSM_CODEC_NONE);
	clock_sleep_ms(100);
	CHECK(t->loader.ring.memory_bytes <= 2 * (LOADER_RING_BYTES + LOADER_SLOTS_MAX * 8192),
	      "the receiver's memory is bounded: %zu KiB", t->loader.ring.memory_bytes / 1024);
	CHECK(wait_loader(t) && t->loader.finished &&
		  memcmp(source_image, target_image, IMAGE_BYTES) == 0,
	      "a slow kernel slows the sender, and loses nothing");
	end(t);
}

static void test_stop_while_blocked(void)
{
	struct transfer *t = begin(2);
	uint64_t begin_ns;

	/* Nobody receives: sender, compressors and reader all end up waiting. */
	t->from.bytes = IMAGE_BYTES;
	run_pipeline(t, &image_cargo, PMSM_CODEC_NONE);
	clock_sleep_ms(100);
	begin_ns = clock_ns();
	pipeline_stop(&t->pipeline);
	CHECK(clock_ns() - begin_ns < NS_PER_S, "a blocked pipeline stops at once");
	end(t);
	t = begin(2);
	run_loader(t, 60000);
	clock_sleep_ms(30);
	begin_ns = clock_ns();
	loader_stop(&t->loader);
	CHECK(clock_ns() - begin_ns < NS_PER_S, "a loader that waits stops at once");
	end(t);
}

static void test_silence(void)
{
	struct transfer *t = begin(1);

	run_loader(t, 100);
	CHECK(wait_loader(t) && t->loader.failed && t->loader.failure.code == PMSM_E_STALLED,
	      "a silent stream is given up after its lease");
	end(t);
}

/* Sends hand-made chunks, with one thing wrong. */
enum wrong {
	WRONG_NOTHING,
	WRONG_DIGEST,
	WRONG_OFFSET,
	WRONG_RAW_SIZE,
	WRONG_STORED_SIZE,
	WRONG_CODEC,
	WRONG_CONTENT, /* of a compressed chunk, with a digest that agrees */
	WRONG_LATE_PROBE,
	WRONG_TYPE,
	WRONG_END_COUNT,
	WRONG_END_CHAIN,
	WRONG_END_EMPTY,
	WRONG_CUT,
	WRONG_LONG,
	WRONGS
};

static const struct {
	const char *name;
	uint16_t code;
} wrongs[WRONGS] = {
    [WRONG_NOTHING] = {"nothing", PMSM_E_NONE},
    [WRONG_DIGEST] = {"digest", PMSM_E_DIGEST_MISMATCH},
    [WRONG_OFFSET] = {"offset", PMSM_E_PROTOCOL_ERROR},
    [WRONG_RAW_SIZE] = {"raw size", PMSM_E_PROTOCOL_ERROR},
    [WRONG_STORED_SIZE] = {"stored size", PMSM_E_PROTOCOL_ERROR},
    [WRONG_CODEC] = {"codec", PMSM_E_PROTOCOL_ERROR},
    [WRONG_CONTENT] = {"compressed content", PMSM_E_PROTOCOL_ERROR},
    [WRONG_LATE_PROBE] = {"a probe after the first chunk", PMSM_E_PROTOCOL_ERROR},
    [WRONG_TYPE] = {"message", PMSM_E_PROTOCOL_ERROR},
    [WRONG_END_COUNT] = {"count at the end", PMSM_E_DIGEST_MISMATCH},
    [WRONG_END_CHAIN] = {"chain at the end", PMSM_E_DIGEST_MISMATCH},
    [WRONG_END_EMPTY] = {"an end before any chunk", PMSM_E_DIGEST_MISMATCH},
    [WRONG_CUT] = {"a cut in a chunk", PMSM_E_STREAM_FAILED},
    [WRONG_LONG] = {"a chunk larger than agreed", PMSM_E_PROTOCOL_ERROR},
};

/* The header of a frame that comes next, with a digest that agrees. */
static struct pmsm_wire_header next_header(const struct transfer *t, uint16_t type, uint32_t bytes)
{
	struct pmsm_wire_header header = {.magic = PMSM_WIRE_MAGIC,
					  .version = PMSM_WIRE_VERSION,
					  .type = type,
					  .payload_bytes = bytes,
					  .sequence = t->out.tx_sequence};

	header.header_digest =
	    digest_bytes(&header, offsetof(struct pmsm_wire_header, header_digest));
	return header;
}

static uint64_t send_chunk(struct transfer *t, uint64_t offset, enum wrong wrong)
{
	static uint8_t payload[sizeof(struct pmsm_msg_chunk) + 2 * CHUNK_BYTES];
	struct pmsm_msg_chunk fixed = {.image_offset = offset, .raw_bytes = CHUNK_BYTES};
	size_t bytes = sizeof(fixed) + CHUNK_BYTES;
	uint64_t digest;

	memcpy(payload + sizeof(fixed), source_image + offset, CHUNK_BYTES);
	if (wrong == WRONG_OFFSET)
		fixed.image_offset += PAGE_BYTES;
	if (wrong == WRONG_RAW_SIZE)
		fixed.raw_bytes = CHUNK_BYTES + PAGE_BYTES;
	if (wrong == WRONG_STORED_SIZE)
		bytes -= 100;
	if (wrong == WRONG_CODEC)
		fixed.codec = 3;
	if (wrong == WRONG_CONTENT) {
		fixed.codec = PMSM_CODEC_ZSTD;
		bytes -= 100;
	}
	if (wrong == WRONG_LONG) {
		fixed.raw_bytes = 2 * CHUNK_BYTES;
		bytes += CHUNK_BYTES;
	}
	memcpy(payload, &fixed, sizeof(fixed));
	digest = digest_bytes(payload, bytes);
	if (wrong == WRONG_DIGEST)
		payload[bytes / 2] ^= 1;
	link_send_payload(&t->out, PMSM_MSG_CHUNK, payload, bytes, digest, clock_deadline_ms(1000),
			  NULL);
	return digest;
}

static void test_hostile(enum wrong wrong)
{
	struct transfer *t = begin(2);
	struct pmsm_msg_probe probe = {.cookie = 5};
	struct pmsm_msg_end fin = {.chunks = 2, .raw_bytes = 2 * CHUNK_BYTES};
	struct pmsm_msg_progress progress = {0};
	uint64_t deadline = clock_deadline_ms(1000);
	struct frame frame;

	run_loader(t, 2000);
	link_send(&t->out, PMSM_MSG_PROBE, &probe, source_image, 1000, deadline);
	CHECK(link_wait(&t->out, &frame, deadline) == 0 && frame.type == PMSM_MSG_PROBE_ACK,
	      "a probe is answered");
	if (wrong == WRONG_END_EMPTY)
		fin.chunks = fin.raw_bytes = 0;
	else
		fin.chain = digest_chain(0, send_chunk(t, 0, WRONG_NOTHING));
	if (wrong == WRONG_LATE_PROBE)
		link_send(&t->out, PMSM_MSG_PROBE, &probe, NULL, 0, deadline);
	if (wrong == WRONG_TYPE)
		link_send(&t->out, PMSM_MSG_PROGRESS, &progress, NULL, 0, deadline);
	if (wrong == WRONG_CUT) {
		struct pmsm_wire_header header = next_header(t, PMSM_MSG_CHUNK, 5000);

		header.header_digest =
		    digest_bytes(&header, offsetof(struct pmsm_wire_header, header_digest));
		(void)!send(t->out.fd, &header, sizeof(header), 0);
		shutdown(t->out.fd, SHUT_WR);
	} else if (wrong != WRONG_END_EMPTY) {
		fin.chain = digest_chain(fin.chain, send_chunk(t, CHUNK_BYTES, wrong));
	}
	fin.chunks += wrong == WRONG_END_COUNT;
	fin.chain += wrong == WRONG_END_CHAIN;
	if (wrong != WRONG_CUT)
		link_send(&t->out, PMSM_MSG_END, &fin, NULL, 0, deadline);
	CHECK(wait_loader(t) && t->loader.finished == (wrong == WRONG_NOTHING) &&
		  t->loader.failure.code == wrongs[wrong].code,
	      "wrong %s: %s", wrongs[wrong].name, pmsm_error_name(t->loader.failure.code));
	loader_stop(&t->loader);
	/* With a wrong end, both chunks before it were right. */
	CHECK(t->loader.loaded_bytes <=
		  (wrong == WRONG_NOTHING || wrong == WRONG_END_COUNT || wrong == WRONG_END_CHAIN
		       ? 2 * CHUNK_BYTES
		       : CHUNK_BYTES),
	      "nothing of it reached the kernel");
	end(t);
}

/* Valid streams with random damage: it must end, within bounds, and never as a success. */
static void test_stream_fuzz(void)
{
	unsigned int seed = 77;
	int finished = 0, hung = 0;

	for (int round = 0; round < 60; round++) {
		struct transfer *t = begin(1);
		uint8_t noise[3000];

		run_loader(t, 300);
		for (int i = 0; i < rand_r(&seed) % 3; i++)
			send_chunk(t, (uint64_t)i * CHUNK_BYTES, WRONG_NOTHING);
		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)rand_r(&seed);
		if (round % 2) { /* past the header's first checks */
			struct pmsm_wire_header header = next_header(
			    t, (uint16_t)(40 + rand_r(&seed) % 9), (uint32_t)rand_r(&seed) % 3000);

			memcpy(noise, &header, sizeof(header));
		}
		(void)!send(t->out.fd, noise, sizeof(noise), 0);
		hung += !wait_loader(t);
		finished += t->loader.finished;
		end(t);
	}
	CHECK(hung == 0 && finished == 0, "60 streams that turn into noise: %d hung, %d succeeded",
	      hung, finished);
}

int main(void)
{
	make_image();
	for (unsigned int codec = 0; codec <= PMSM_CODEC_ZSTD; codec++)
		test_good(codec, 1 + codec, codec == PMSM_CODEC_LZ4 ? PAGE_BYTES : SIZE_MAX);
	test_good(PMSM_CODEC_LZ4, COMPRESSORS_MAX, 5 * PAGE_BYTES);
	test_read_error();
	test_write_error(ENODEV, PAGE_BYTES, PMSM_E_IMAGE_REJECTED);
	test_write_error(ENOMEM, 30 * PAGE_BYTES, PMSM_E_TARGET_MEMORY);
	test_too_long();
	test_slow_target_is_bounded();
	test_stop_while_blocked();
	test_silence();
	for (int wrong = 0; wrong < WRONGS; wrong++)
		test_hostile((enum wrong)wrong);
	test_stream_fuzz();
	free(source_image);
	free(target_image);
	return test_end();
}
