// SPDX-License-Identifier: GPL-2.0-only
/* The small parts: ring, codecs, states, file systems, command lines, JSON, clock. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cmdline.h"
#include "common/codec.h"
#include "common/json.h"
#include "common/facts.h"
#include "common/ring.h"
#include "common/state.h"
#include "source/filesystems.h"
#include "source/measure.h"
#include "source/options.h"
#include "source/raw-writers.h"
#include "source/watchdog.h"
#include "target/load.h"
#include "target/rehearse.h"
#include "test.h"

#define RING_CHUNKS 5000

static void *ring_producer(void *argument)
{
	struct ring *ring = argument;
	struct chunk *chunk;

	for (uint64_t i = 0; i < RING_CHUNKS && (chunk = ring_claim(ring)); i++) {
		chunk->place = i;
		ring_fill(ring, chunk);
	}
	ring_close(ring);
	return NULL;
}

static void *ring_worker(void *argument)
{
	struct ring *ring = argument;
	struct chunk *chunk;

	while ((chunk = ring_take(ring))) {
		chunk->digest = chunk->place * 3;
		if (chunk->place % 7 == 0)
			sched_yield();
		ring_finish(ring, chunk);
	}
	return NULL;
}

static void test_unwritten_pages(void)
{
	CHECK(raw_writers_pages("nr_free_pages 7\nnr_dirty 42\nnr_writeback 3\n") == 45,
	      "pages that are dirty, and those on their way, are counted");
	CHECK(raw_writers_pages("nr_free_pages 7\nnr_dirty 0\nnr_writeback 0\n") == 0,
	      "a clean machine has none");
	CHECK(raw_writers_pages("nr_free_pages 7\nnr_dirty_threshold 9\nnr_writeback 0\n") ==
		  UINT64_MAX,
	      "the threshold is not the count, and what is not said may be anything");
}

static void test_ring(void)
{
	static struct ring ring;
	pthread_t threads[4];
	struct chunk *chunk;
	uint64_t expected = 0;
	bool ordered = true;

	CHECK(ring_init(&ring, 1, PAGE_BYTES) == -EINVAL, "a ring of one chunk is refused");
	CHECK(ring_init(&ring, 4, PAGE_BYTES + 1) == -EINVAL, "an odd chunk size is refused");
	CHECK(ring_init(&ring, 5, PAGE_BYTES) == 0, "ring");
	pthread_create(&threads[0], NULL, ring_producer, &ring);
	for (int i = 1; i < 4; i++)
		pthread_create(&threads[i], NULL, ring_worker, &ring);
	while ((chunk = ring_next(&ring))) {
		ordered &= chunk->place == expected && chunk->digest == expected * 3;
		expected++;
		ring_release(&ring, chunk);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK(ordered && expected == RING_CHUNKS, "all chunks, in order, through three workers");
	ring_reset(&ring);
	pthread_create(&threads[0], NULL, ring_producer, &ring);
	clock_sleep_ms(20);
	ring_stop(&ring);
	pthread_join(threads[0], NULL);
	CHECK(ring_next(&ring) == NULL && ring_take(&ring) == NULL && ring_claim(&ring) == NULL,
	      "stopped: a waiting producer ends, and nobody waits again");
	ring_destroy(&ring);
}

static void test_codecs(void)
{
	static uint8_t raw[65536], stored[65536 + 64], back[65536 + 64];
	struct codec_context context;
	unsigned int seed = 5;

	CHECK(codec_context_init(&context) == 0, "codec context");
	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = i % 4 ? (uint8_t)(i >> 8) : (uint8_t)rand_r(&seed);
	for (unsigned int id = PMSM_CODEC_LZ4; id <= PMSM_CODEC_ZSTD; id++) {
		const struct codec *codec = codec_by_id(id);
		size_t n = codec->compress(&context, stored, sizeof(raw) - 1, raw, sizeof(raw));
		int wrong = 0;

		CHECK(n > 0 && n < sizeof(raw), "%s makes it smaller", codec->name);
		memset(back, 0xaa, sizeof(back));
		CHECK(codec->decompress(&context, back, sizeof(raw), stored, n) &&
			  memcmp(raw, back, sizeof(raw)) == 0 && back[sizeof(raw)] == 0xaa,
		      "%s gives it back", codec->name);
		CHECK(!codec->decompress(&context, back, sizeof(raw) - 4096, stored, n) &&
			  !codec->decompress(&context, back, sizeof(raw) + 32, stored, n),
		      "%s: another size is refused", codec->name);
		for (int i = 0; n > 0 && i < 2000; i++) {
			size_t at = (size_t)rand_r(&seed) % n;
			uint8_t was = stored[at];

			stored[at] ^= (uint8_t)(1 + rand_r(&seed) % 255);
			memset(back + sizeof(raw), 0xaa, 64);
			codec->decompress(&context, back, sizeof(raw), stored, n);
			for (int j = 0; j < 64; j++)
				wrong += back[sizeof(raw) + (size_t)j] != 0xaa;
			stored[at] = was;
		}
		CHECK(wrong == 0, "%s: damaged input never writes beyond its bounds", codec->name);
		for (size_t i = 0; i < sizeof(back); i++)
			back[i] = (uint8_t)rand_r(&seed);
		CHECK(codec->compress(&context, stored, sizeof(raw) - 1, back, sizeof(raw)) == 0,
		      "%s: what does not become smaller is left alone", codec->name);
	}
	CHECK(codec_by_id(3) == NULL && codec_by_name("gzip") == NULL, "unknown codecs");
	codec_context_destroy(&context);
}

/* Whether the move ends the process with SIGABRT. */
static bool move_aborts(enum state from, enum state to)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();

	if (pid == 0) {
		struct state_cell cell = {.value = from};

		close(2);
		state_move(&cell, from, to);
		_exit(state_get(&cell) == to ? 0 : 9);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void test_states(void)
{
	int legal = 0;
	bool thaws = true, agree = true;

	for (int from = 0; from < STATES; from++)
		for (int to = 0; to < STATES; to++) {
			legal += state_move_is_legal(from, to);
			agree &= move_aborts(from, to) != state_move_is_legal(from, to);
		}
	CHECK(agree, "every illegal move aborts, every legal one is made");
	CHECK(legal == 21, "%d legal moves, as reviewed", legal);
	for (int s = STATE_PREPARED; s <= STATE_GIVEN_UP; s++)
		thaws &= state_move_is_legal(s, STATE_THAWING);
	CHECK(thaws, "the source can thaw from everywhere up to given-up");
	CHECK(!state_move_is_legal(STATE_RESUMED, STATE_THAWING) &&
		  !state_move_is_legal(STATE_OWNER, STATE_THAWING),
	      "the new body never rolls back");
	CHECK(!state_move_is_legal(STATE_SENDING, STATE_GIVEN_UP),
	      "nobody gives up before all is sent");
}

static int thaw_calls;

static int fake_thaw(struct snapshot_device *device)
{
	(void)device;
	thaw_calls++;
	return 0;
}

static void test_watchdog(void)
{
	static const struct snapshot_operations operations = {.thaw = fake_thaw};
	static uint8_t stack[65536] __attribute__((aligned(4096)));
	struct snapshot_device device = {.ops = &operations};
	_Atomic bool standing = true;
	struct watchdog watchdog;

	CHECK(watchdog_start(&watchdog, &device, &standing, 5000, stack, sizeof(stack)) == 0,
	      "watchdog");
	CHECK(!watchdog_end(&watchdog) && thaw_calls == 0 && standing, "does nothing in time");
	watchdog_start(&watchdog, &device, &standing, 20, stack, sizeof(stack));
	clock_sleep_ms(150);
	CHECK(thaw_calls == 1 && !standing, "past its limit it thaws by itself");
	CHECK(watchdog_end(&watchdog), "and says so");
}

static const char types[] =
    "nodev\tsysfs\nnodev\ttmpfs\n\text4\n\txfs\n\tfuseblk\nnodev\toverlay\n";

static void test_filesystems(void)
{
	static struct filesystems all;
	char mounts[] =
	    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"
	    "23 22 0:5 / /sys rw - sysfs sysfs rw\n"
	    "24 22 0:30 / /run rw shared:2 - tmpfs tmpfs rw,size=1k\n"
	    "30 22 8:2 / /data\\040one rw,noatime shared:3 master:4 - xfs /dev/sda2 rw,attr2\n"
	    "31 30 7:0 / /data\\040one/inner rw - ext4 /dev/loop0 rw\n"
	    "32 22 8:2 /sub /bind ro - xfs /dev/sda2 rw\n"
	    "33 22 8:3 / /cd ro - ext4 /dev/sda3 ro\n"
	    "34 22 0:40 / /c rw - overlay overlay rw,lowerdir=/x\n"
	    "garbage\n"
	    "35 22 8:4 / /short\n";
	char container[] = "40 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
			   "41 40 8:9 / /volume rw - ext4 /dev/sda9 rw\n";
	static char hidden[4096];

	memset(hidden, 'x', FS_PATH_BYTES);
	memcpy(hidden, "42 1 8:7 / /", 12);
	snprintf(hidden + FS_PATH_BYTES, sizeof(hidden) - FS_PATH_BYTES,
		 "xxxxxxxxxxxx rw - ext4 /dev/sda7 rw\n43 1 8:8 / /y rw - xfs /dev/sda8 rw\n");
	CHECK(filesystems_parse(&all, mounts, "", types) == 0 && all.count == 3,
	      "%zu writable file systems on block devices", all.count);
	CHECK(strcmp(all.list[1].path, "/data one") == 0, "an escaped path");
	CHECK(filesystems_parse(&all, container, "/proc/7/root", types) == 0 && all.count == 4 &&
		  strcmp(all.list[3].path, "/proc/7/root/volume") == 0,
	      "what only a container has mounted");
	all.count = 3;
	CHECK(filesystems_parse(&all, hidden, "", types) == -ENAMETOOLONG && all.count == 4,
	      "a path that is too long is an error, and the rest is there");
	all.count = 3;
	all.list[2].depth = 1;
	filesystems_sort(&all);
	CHECK(strcmp(all.list[0].path, "/data one/inner") == 0 &&
		  strcmp(all.list[1].path, "/data one") == 0 && strcmp(all.list[2].path, "/") == 0,
	      "innermost first, then the last mounted");
	all.list[0].depth = 0;
	all.list[2].depth = 2;
	filesystems_sort(&all);
	CHECK(strcmp(all.list[0].path, "/") == 0, "what lies in a file goes before its holder");
}

static bool parses(int argc, ...)
{
	static struct options options;
	char *argv[32];
	va_list args;

	argv[0] = (char *)(uintptr_t) "run";
	va_start(args, argc);
	for (int i = 1; i <= argc; i++)
		argv[i] = va_arg(args, char *);
	va_end(args);
	argv[argc + 1] = NULL;
	optind = 0;
	return options_parse(&options, argc + 1, argv);
}

#define GOOD                                                                                       \
	"--attempt", "00112233445566778899aabbccddeeff", "--generation", "3", "--interface",       \
	    "eth1", "--address", "10.0.1.1/24", "--orchestrator", "10.0.1.254:7071", "--target",   \
	    "10.0.1.2:7072", "--target-address", "10.0.1.2/24", "--target-mac",                    \
	    "52:54:00:00:01:02"

static void test_options(void)
{
	CHECK(parses(16, GOOD), "a full command line");
	CHECK(parses(18, GOOD, "--codec", "lz4"), "with a codec");
	CHECK(!parses(14, GOOD), "without a MAC");
	CHECK(!parses(18, GOOD, "--codec", "rar"), "an unknown codec");
	CHECK(!parses(18, GOOD, "--chunk-kib", "6000"), "a chunk beyond the limit");
	CHECK(!parses(18, GOOD, "--chunk-kib", "7"), "a chunk that is no multiple of a page");
	CHECK(!parses(18, GOOD, "--stall-ms", "0"), "no time at all before a stall");
	CHECK(!parses(18, GOOD, "--attempt", "xyz"), "a bad attempt");
	CHECK(!parses(18, GOOD, "--target-mac", "01:00:5e:00:00:01"), "a group address as MAC");
	CHECK(!parses(17, GOOD, "rest"), "an argument too many");
}

static void test_cmdline(void)
{
	struct machine_settings s;

	cmdline_parse(&s, "console=ttyS0 pmsm.machine=node1 pmsm.address=10.0.1.1/24 "
			  "pmsm.interface=eth1 pmsm.orchestrator=10.0.1.254:7071 pmsm.standby\n");
	CHECK(strcmp(s.machine, "node1") == 0 && s.address.prefix == 24 && s.standby &&
		  !s.single_nic && s.orchestrator.port == 7071 &&
		  strcmp(migration_device(&s), "eth1") == 0,
	      "kernel command line");
	cmdline_parse(&s,
		      "pmsm.address=10.0.1.1/33 pmsm.orchestrator=1.2.3.4:99999 pmsm.single-nic");
	CHECK(s.address.prefix == 0 && s.orchestrator.port == 0 &&
		  strcmp(migration_device(&s), "pmsm0") == 0,
	      "what is not valid stays empty");
}

static void test_chunk_fields(void)
{
	struct pmsm_msg_chunk c = {.image_offset = 8192, .raw_bytes = 4096, .codec = 1};

	CHECK(chunk_fields_ok(&c, 100, 8192, 65536), "a chunk in its place");
	CHECK(!chunk_fields_ok(&c, 100, 4096, 65536), "a gap");
	CHECK(!chunk_fields_ok(&c, 0, 8192, 65536), "nothing stored");
	CHECK(!chunk_fields_ok(&c, 4097, 8192, 65536), "more stored than raw");
	c.raw_bytes = 65536 + 4096;
	CHECK(!chunk_fields_ok(&c, 100, 8192, 65536), "more than a chunk");
	c.raw_bytes = 4095;
	CHECK(!chunk_fields_ok(&c, 100, 8192, 65536), "no whole page");
	c.raw_bytes = 4096;
	c.codec = PMSM_CODEC_NONE;
	CHECK(!chunk_fields_ok(&c, 100, 8192, 65536), "stored as it is, but shorter");
}

static void test_rest(void)
{
	static char facts[PMSM_LIMIT_CONTROL_PAYLOAD_BYTES];
	const struct facts_context unknown = {0};
	const struct facts_context tried = {.probe = true};
	const struct facts_context rehearsed = {.rehearsal = rehearsal_name(REHEARSAL_HELD)};
	char text[64];
	struct json json;

	json_start(&json, text, sizeof(text));
	json_open(&json, NULL, '{');
	json_text(&json, "a", "x\"\\\n\xff");
	json_u64(&json, "b", 7);
	json_close(&json, '}');
	CHECK(strcmp(text, "{\"a\":\"x\\\"\\\\\\u000a\\u00ff\",\"b\":7}") == 0, "JSON: %s", text);
	json_start(&json, text, 8);
	json_text(&json, "key", "value");
	CHECK(json.full && strlen(text) < 8, "JSON that does not fit says so");
	clock_calibrate_begin();
	CHECK(clock_cycles_khz() > 100000, "%llu kHz", (unsigned long long)clock_cycles_khz());
	CHECK(facts_write(facts, sizeof(facts), &unknown) > 500 &&
		  facts_write(facts, 100, &unknown) == 0,
	      "facts");
	CHECK(facts_write(facts, sizeof(facts), &rehearsed) > 500 &&
		  strstr(facts, "\"rehearsal\":\"held\""),
	      "a standby says how its rehearsal ended");
	CHECK(facts_write(facts, sizeof(facts), &unknown) > 500 &&
		  strstr(facts, "\"rehearsal\":null"),
	      "who is no standby has not rehearsed");
	CHECK(!strstr(facts, "\"quarantine\""), "nor tried the quarantine");
	CHECK(facts_write(facts, sizeof(facts), &tried) > 500 &&
		  strstr(facts, "\"quarantine\":{\"available\":"),
	      "who has says how that ended");
	CHECK(predict_us_per_mib(100000000, 0, 1000, 1) >
		  predict_us_per_mib(100000000, 1000000000, 400, 1),
	      "a fast codec pays on a slow link");
	CHECK(predict_us_per_mib(UINT64_C(4000000000), 0, 1000, 1) <
		  predict_us_per_mib(UINT64_C(4000000000), 300000000, 400, 1),
	      "and does not on a fast one");
}

static void test_tracer(void)
{
	int seized[2], status = 0;
	pid_t child;

	CHECK(facts_tracer() == 0, "nobody traces this process");
	if (pipe(seized))
		abort();
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	child = fork();
	if (child == 0) {
		char error = (char)(ptrace(PTRACE_SEIZE, getppid(), 0, 0) ? errno : 0);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)!write(seized[1], &error, 1);
		pause();
	}
	if (read(seized[0], &status, 1) == 1 && status == 0)
		CHECK(facts_tracer() == child, "its child traces it");
	else if (geteuid() == 0)
		CHECK(false, "root may trace: %s", strerror(status));
	else
		SKIP("this user may not trace");
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	CHECK(facts_tracer() == 0, "nobody does any more");
	close(seized[0]);
	close(seized[1]);
}

int main(void)
{
	test_ring();
	test_unwritten_pages();
	test_codecs();
	test_states();
	test_filesystems();
	test_watchdog();
	test_options();
	test_cmdline();
	test_chunk_fields();
	test_rest();
	test_tracer();
	return test_end();
}
