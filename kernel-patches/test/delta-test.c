// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test of reading memory ahead of an image, in two emulated machines that share
 * one virtio disk and run one after the other (see ../README.md):
 *
 *   delta-test source   misuse, rounds while processes write, an overflow; then what
 *                       was read and an image of the rest go to /dev/vda
 *   delta-test target   wrong input is refused; then all of it is loaded and the
 *                       image restored, and the source's processes go on
 *
 * The disk is a log: records of frames as they were read, then the image.
 */
#define _GNU_SOURCE
#include "delta-log.h"
#include "delta-work.h"
#include "delta-vacate.h"
#include "delta-loader.h"
#include "delta-reserve.h"
#include "delta-text.h"
#include <sys/reboot.h>
#include <sys/syscall.h>

#define BATCH_PAGES	1024UL
#define BATCH_FRAMES	(16 * BATCH_PAGES)
#define FRAMES_BYTES	(BATCH_FRAMES * sizeof(uint64_t))
#define DATA_BYTES	(BATCH_PAGES * PAGE)
#define CHUNK		(1UL << 20)
#define WRITERS		2
#define ROUNDS_MAX	6
#define COPIES_MAX	16384UL

static int live_device(void)
{
	return device(O_RDONLY | O_NONBLOCK);
}

static struct snapshot_live live_request(uint32_t flags, uint64_t next_pfn)
{
	return (struct snapshot_live) {
		.size = sizeof(struct snapshot_live), .flags = flags, .next_pfn = next_pfn,
		.frames = (uintptr_t)frames, .data = (uintptr_t)data,
		.frames_max = BATCH_FRAMES, .data_max = BATCH_PAGES,
	};
}

/* One round over all memory; what was read goes to the disk. The pages read. */
static uint64_t read_round(int fd, uint32_t flags, bool keep, struct snapshot_live *sum)
{
	uint64_t next = 0, read_pages = 0, wrong = 0;
	double start = now(), longest = 0;

	*sum = (struct snapshot_live) { 0 };
	while (next != SNAPSHOT_LIVE_END) {
		struct snapshot_live io = live_request(flags, next);
		double call = now();

		if (ioctl(fd, SNAPSHOT_LIVE_READ, &io))
			fatal("SNAPSHOT_LIVE_READ");
		longest = now() - call > longest ? now() - call : longest;
		next = io.next_pfn;
		sum->saveable += io.saveable;
		sum->changed += io.changed;
		read_pages += io.data_nr;
		for (uint64_t i = 0; i < io.frames_nr; i++)
			wrong += is_vacated(frames[i] & ~SNAPSHOT_FRAME_ZERO);
		if (keep && io.frames_nr) {
			put_record(RECORD_FRAMES, io.frames_nr, io.data_nr, 0);
			put(frames, whole_pages(io.frames_nr * sizeof(uint64_t)));
			put(data, io.data_nr * PAGE);
		}
	}
	printf("# round flags %u: %llu frames, %llu changed, %llu pages, %.0f ms\n", flags,
	       (unsigned long long)sum->saveable, (unsigned long long)sum->changed,
	       (unsigned long long)read_pages, (now() - start) * 1e3);
	check(!wrong, "no vacated frame is read", (long)wrong);
	/* The helper takes it for a stall if nothing moves for two seconds. */
	check(longest < 1, "no call is long, whatever the machine's speed", (long)(longest * 1e3));
	return read_pages;
}

static void test_misuse(void)
{
	struct snapshot_delta delta = { .size = sizeof(delta), .flags = SNAPSHOT_DELTA_ARM,
					.copies_max = 100 };
	struct snapshot_live io = live_request(0, 0);
	int fd = live_device();

	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, &io), -ENODATA);
	EXPECT(ioctl(fd, SNAPSHOT_DELTA, &delta), -ENODATA);
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_BEGIN), 0);
	io.size--;
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, &io), -EINVAL);
	io = live_request(8, 0);
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, &io), -EINVAL);
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, NULL), -EFAULT);
	io = live_request(0, 0);
	io.data = 0;
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, &io), -EFAULT);
	io = live_request(0, 0);
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, &io), -ESTALE);
	EXPECT(ioctl(fd, SNAPSHOT_DELTA, &delta), -ESTALE);
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_BEGIN), 0);
	io = live_request(0, 1ULL << 60);
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, &io), 0);
	check(io.next_pfn == SNAPSHOT_LIVE_END && !io.frames_nr, "beyond the end", 0);
	delta.copies_max = 0;
	EXPECT(ioctl(fd, SNAPSHOT_DELTA, &delta), -EINVAL);
	delta.flags = 2;
	EXPECT(ioctl(fd, SNAPSHOT_DELTA, &delta), -EINVAL);
	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD_BEGIN, NULL), -EPERM);
	close(fd);
	check(beats(), "the machine goes on", 0);
}

/* A device that was opened when hibernation was allowed is of no use while it is not. */
static void test_forbidden(void)
{
	struct snapshot_live io = live_request(0, 0);
	int fd = live_device(), secret, in_suspend = -1;

	EXPECT(ioctl(fd, SNAPSHOT_LIVE_BEGIN), 0);
	secret = (int)syscall(SYS_memfd_secret, 0);
	must(secret >= 0, "memfd_secret");
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, &io), -EPERM);
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_BEGIN), -EPERM);
	EXPECT(ioctl(fd, SNAPSHOT_FREEZE), 0);
	EXPECT(ioctl(fd, SNAPSHOT_CREATE_IMAGE, &in_suspend), -EPERM);
	EXPECT(ioctl(fd, SNAPSHOT_UNFREEZE), 0);
	close(secret);
	io = live_request(0, 0);
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, &io), 0);
	close(fd);
	check(beats(), "the machine goes on", 0);
}

static void test_collisions(int fd, struct work *w)
{
	for (unsigned int kind = 0; kind < 4; kind++) {
		struct snapshot_live before, after;

		/* Anything may have changed besides; this page must be among it. */
		read_round(fd, SNAPSHOT_LIVE_CHANGED, false, &before);
		read_round(fd, SNAPSHOT_LIVE_COUNT, false, &before);
		for (unsigned int i = 0; i < 512; i++)
			collide(w->content[WORK_PAGES / 2 + i], kind);
		read_round(fd, SNAPSHOT_LIVE_COUNT, false, &after);
		check(after.changed >= 512 && after.changed < 512 + before.changed + 4096,
		      "512 pages that a weak digest would miss", (long)after.changed);
		for (unsigned int i = 0; i < 512; i++)
			write_page(w, WORK_PAGES / 2 + i, w->version[WORK_PAGES / 2 + i]);
	}
}

static int arm(int fd, uint64_t copies_max)
{
	struct snapshot_delta delta = { .size = sizeof(delta), .flags = SNAPSHOT_DELTA_ARM,
					.copies_max = copies_max };

	return (int)result(ioctl(fd, SNAPSHOT_DELTA, &delta));
}

static struct snapshot_delta outcome(int fd)
{
	struct snapshot_delta d = { .size = sizeof(d) };

	if (ioctl(fd, SNAPSHOT_DELTA, &d))
		fatal("SNAPSHOT_DELTA");
	printf("# delta: %llu saveable, %llu zero, %llu same, %llu copied, %llu missing, "
	       "%llu unseen, %llu sealed, %llu tracked\n", (unsigned long long)d.saveable,
	       (unsigned long long)d.zero, (unsigned long long)d.same,
	       (unsigned long long)d.copied, (unsigned long long)d.missing,
	       (unsigned long long)d.unseen, (unsigned long long)d.sealed,
	       (unsigned long long)d.tracked);
	return d;
}

static void test_overflow(int fd)
{
	int in_suspend = -1;
	struct snapshot_delta d;
	double start;

	check(arm(fd, 64) == 0, "armed with too few copies", 0);
	EXPECT(ioctl(fd, SNAPSHOT_FREEZE), 0);
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_BEGIN), -EPERM);
	start = now();
	EXPECT(ioctl(fd, SNAPSHOT_CREATE_IMAGE, &in_suspend), -ENOSPC);
	EXPECT(ioctl(fd, SNAPSHOT_FREE), 0);
	EXPECT(ioctl(fd, SNAPSHOT_UNFREEZE), 0);
	printf("# overflow and back: %.0f ms\n", (now() - start) * 1e3);
	d = outcome(fd);
	check(d.copied == 64 && d.missing > 0, "the need is counted to its end", (long)d.missing);
	check(d.zero + d.same + d.copied + d.missing == d.saveable, "the sum", 0);
	check(beats(), "the machine goes on", 0);
}

static void save_image(int fd, uint64_t saveable)
{
	struct snapshot_live io = live_request(0, 0);
	__kernel_loff_t size = 0;
	uint64_t done = 0;

	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, &io), -EPERM);
	if (ioctl(fd, SNAPSHOT_GET_IMAGE_SIZE, &size))
		fatal("SNAPSHOT_GET_IMAGE_SIZE");
	put_record(RECORD_IMAGE, 0, 0, (uint64_t)size);
	while (done < (uint64_t)size) {
		long ret = result(read(fd, data, CHUNK));

		if (ret <= 0 || ret % (long)PAGE)
			fatal("read image");
		if (!done)
			check_image_list(data, (size_t)ret, (long)saveable);
		put(data, (size_t)ret);
		done += (uint64_t)ret;
	}
	printf("# image of %llu bytes\n", (unsigned long long)size);
}

/* The new body: what the image has is as it was. */
static int wake_up(int fd, int code, struct work **works)
{
	struct snapshot_live sum = live_request(0, 0);

	phase_times(fd);
	check_code(code, "its code is as it was");
	test_kept(fd, COPIES_MAX);
	check(beats(), "the machine goes on", 0);
	for (unsigned int i = 0; i < WRITERS; i++) {
		works[i]->stop = 1;
		while (!works[i]->stopped)
			usleep(1000);
		check(wrong_pages(works[i]) == 0, "every page of a writer is its last version",
		      (long)works[i]->rounds);
	}
	fd = live_device();
	sum.size = 0;
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, &sum), -EINVAL);
	sum = live_request(0, 0);
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_READ, &sum), -ENODATA);
	close(fd);
	return 0;
}

static int source(void)
{
	struct work *works[WRITERS];
	struct snapshot_delta d;
	struct snapshot_live sum;
	uint64_t read_pages, last;
	int fd, code, in_suspend = -1;

	for (unsigned int i = 0; i < WRITERS; i++) {
		works[i] = pages(sizeof(struct work));
		for (uint64_t page = 0; page < WORK_PAGES; page++)
			write_page(works[i], page, 1);
	}
	test_misuse();
	test_forbidden();
	fd = live_device();
	test_vacate(fd);
	vacate(fd);
	close(fd);
	check(beats(), "the machine goes on", 0);
	fd = live_device();
	vacate(fd);
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_BEGIN), 0);
	test_collisions(fd, works[0]);
	test_reserve_closed(fd, arm);
	fd = live_device();
	vacate(fd);
	for (unsigned int i = 0; i < WRITERS; i++)
		start_writer(works[i], i, fd);
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_BEGIN), 0);
	last = read_round(fd, SNAPSHOT_LIVE_TRACK, true, &sum);
	check(sum.changed == sum.saveable, "the first round reads all", (long)sum.saveable);
	code = change_code();
	check_code(code, "packets are stamped when they arrive");
	for (unsigned int round = 1; round < ROUNDS_MAX; round++) {
		read_pages = read_round(fd, SNAPSHOT_LIVE_CHANGED | SNAPSHOT_LIVE_TRACK, true,
					&sum);
		if (round == 2) {
			test_overflow(fd);
			test_reserve(fd, live_request(SNAPSHOT_LIVE_CHANGED, 1ULL << 60), arm);
		}
		if (read_pages >= last)
			break;
		last = read_pages;
	}
	check(arm_for_image(fd, COPIES_MAX, arm) == 0, "armed", 0);
	EXPECT(ioctl(fd, SNAPSHOT_FREEZE), 0);
	EXPECT(ioctl(fd, SNAPSHOT_CREATE_IMAGE, &in_suspend), 0);
	if (in_suspend) {
		phase_times(fd);
		d = outcome(fd);
		check(d.zero + d.same + d.copied == d.saveable && !d.missing, "the sum", 0);
		check(d.copied < d.saveable / 4, "most of it is left out", (long)d.copied);
		save_image(fd, d.saveable);
		/* Its processes stay frozen for good. */
		printf("1..%u\ndone, %u failures\n", checks, failures);
		fflush(stdout);
		reboot(RB_AUTOBOOT);
		return 1;
	}
	return wake_up(fd, code, works);
}

static struct snapshot_preload preload_request(uint64_t frames_nr, uint64_t data_nr)
{
	return (struct snapshot_preload) {
		.size = sizeof(struct snapshot_preload), .frames = (uintptr_t)frames,
		.data = (uintptr_t)data, .frames_nr = (uint32_t)frames_nr,
		.data_nr = (uint32_t)data_nr,
	};
}

static int preload_device(void)
{
	struct snapshot_preload_begin begin = { .size = sizeof(begin), .reserve_pages = 2048 };
	int fd = open("/dev/snapshot", O_WRONLY | O_CLOEXEC);
	double start = now();

	if (fd < 0 || ioctl(fd, SNAPSHOT_FREEZE))
		fatal("/dev/snapshot");
	if (ioctl(fd, SNAPSHOT_PRELOAD_BEGIN, &begin))
		fatal("SNAPSHOT_PRELOAD_BEGIN");
	printf("# %llu frames owned, format %u, %.0f ms\n", (unsigned long long)begin.owned_pages,
	       begin.format, (now() - start) * 1e3);
	begun = begin;
	return fd;
}

/* Loads what the disk has; @skip_every leaves out one frame of so many. Its result. */
static long load(int fd, unsigned int skip_every, bool image)
{
	double start = now();
	uint64_t total = 0, done = 0, seen = 0;
	long ret;

	position = 0;
	for (get(record, PAGE); record->type == RECORD_FRAMES; get(record, PAGE)) {
		struct snapshot_preload io = preload_request(record->frames_nr, record->data_nr);
		uint64_t kept = 0, kept_data = 0, from = 0;

		if (record->magic != MAGIC)
			fatal("no record");
		get(frames, whole_pages(record->frames_nr * sizeof(uint64_t)));
		get(data, record->data_nr * PAGE);
		for (uint64_t i = 0; skip_every && i < record->frames_nr; i++) {
			bool zero = frames[i] & SNAPSHOT_FRAME_ZERO;

			if (++seen % skip_every == 0) {
				from += !zero;
				continue;
			}
			frames[kept++] = frames[i];
			if (!zero)
				memmove(data + PAGE * kept_data++, data + PAGE * from++, PAGE);
		}
		if (skip_every)
			io = preload_request(kept, kept_data);
		ret = result(ioctl(fd, SNAPSHOT_PRELOAD, &io));
		if (ret)
			return ret;
		total += io.data_nr;
	}
	printf("# %llu pages loaded ahead, %.0f ms\n", (unsigned long long)total,
	       (now() - start) * 1e3);
	start = now();
	while (image && done < record->bytes) {
		size_t part = record->bytes - done < CHUNK ? record->bytes - done : CHUNK;

		get(data, part);
		for (size_t at = 0; at < part; at += (size_t)ret) {
			ret = result(write(fd, data + at, part - at));
			if (ret <= 0)
				return ret;
		}
		done += part;
	}
	printf("# image of %llu bytes loaded, %.0f ms\n", (unsigned long long)done,
	       (now() - start) * 1e3);
	return 0;
}

static void test_preload_misuse(void)
{
	struct snapshot_preload_begin begin = { .size = sizeof(begin) };
	struct snapshot_preload io = preload_request(1, 0);
	int fd = open("/dev/snapshot", O_WRONLY | O_CLOEXEC);

	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD_BEGIN, &begin), -EPERM);
	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD, &io), -EPERM);
	EXPECT(ioctl(fd, SNAPSHOT_LIVE_BEGIN), -EPERM);
	EXPECT(ioctl(fd, SNAPSHOT_FREEZE), 0);
	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD, &io), -EPERM);
	begin.flags = 1;
	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD_BEGIN, &begin), -EINVAL);
	begin.flags = 0;
	begin.reserved = 1;
	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD_BEGIN, &begin), -EINVAL);
	begin = (struct snapshot_preload_begin) { .size = sizeof(begin),
						  .reserve_pages = 1ULL << 60 };
	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD_BEGIN, &begin), -EINVAL);
	close(fd);

	fd = preload_device();
	test_image_ram();
	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD_BEGIN, &begin), -EINVAL);
	begin.reserve_pages = 0;
	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD_BEGIN, &begin), -EBUSY);
	frames[0] = 1ULL << 50;
	io = preload_request(1, 0);
	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD, &io), -EINVAL);
	frames[0] = 0; /* firmware's */
	io = preload_request(1, 0);
	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD, &io), -EINVAL);
	frames[0] = firmware_frame();
	io = preload_request(1, 0);
	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD, &io), -EINVAL);
	frames[0] = 1000; /* no data for it */
	io = preload_request(1, 0);
	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD, &io), -EINVAL);
	io = preload_request(1, 1);
	io.data = 0;
	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD, &io), -EFAULT);
	check(io.frames_nr == 0 && io.data_nr == 0, "nothing taken", 0);
	close(fd);
	check(beats(), "all memory is back", 0);
}

/* The first pages of the image on the disk. */
static void get_image_start(void)
{
	position = 0;
	for (get(record, PAGE); record->type == RECORD_FRAMES; get(record, PAGE))
		position += (off_t)(whole_pages(record->frames_nr * sizeof(uint64_t)) +
				    record->data_nr * PAGE);
	get(data, 2 * PAGE);
}

static int target(void)
{
	int fd, code;

	test_preload_misuse();

	fd = preload_device();
	check(load(fd, 5, true) == -ENODATA, "frames that were never given are missed", 0);
	EXPECT(ioctl(fd, SNAPSHOT_ATOMIC_RESTORE, 0), -ENODATA);
	close(fd);

	/* The image alone: there is nothing that it could complete. */
	fd = open("/dev/snapshot", O_WRONLY | O_CLOEXEC);
	get_image_start();
	EXPECT(write(fd, data, 2 * PAGE), (long)PAGE);
	EXPECT(write(fd, data + PAGE, PAGE), -EPERM);
	close(fd);

	/* Everything twice: the second time in place of what is there. */
	code = change_code();
	fd = preload_device();
	check(load(fd, 0, false) == 0, "loaded ahead", 0);
	check(load(fd, 0, true) == 0, "loaded again, and the image", 0);
	change_code_back(code);
	EXPECT(ioctl(fd, SNAPSHOT_ATOMIC_RESTORE, 0), 0);
	check(false, "still here after the restore", 0);
	return 1;
}

int main(int argc, char **argv)
{
	pid_t child;
	int ret;

	if (argc != 2)
		return 2;
	frames = pages(whole_pages(FRAMES_BYTES));
	data = pages(DATA_BYTES);
	record = pages(PAGE);
	disk = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (disk < 0)
		fatal(DISK);
	loopback_up();
	child = start_heartbeat();
	ret = play(argv[1], source, target);
	return finish(child) || ret;
}
