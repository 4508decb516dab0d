// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test of /dev/snapshot as patched by this series, to be run as init or from
 * init in two emulated machines that share one virtio disk (see ../README.md):
 *
 *   snapshot-test source   misuse, abort, timing; then an image goes to /dev/vda
 *   snapshot-test target   hostile and cut images are refused; then the real one
 *                          is restored, and the source's process goes on
 *
 * An unpatched kernel is recognized by the missing SNAPSHOT_GET_PHASES.  It is then
 * only timed, saved and restored: what the series mends would crash it.
 *
 * Output is TAP, one line a check.  The last line of each machine is "done" and the
 * number of failures.
 */
#define _GNU_SOURCE
#include "harness.h"

#define CHUNK		(4UL << 20)
#define SHORT_LEASE_MS	2000
#define LONG_LEASE_MS	120000
#define BALLAST		(128UL << 20)
#define ZERO_PFN	(1ULL << 63)

static bool patched;
static char *io;			/* CHUNK bytes, aligned */

/* Moves @count bytes as far as they go, in calls of at most @step bytes. */
static long move(int fd, bool in, char *buf, size_t count, size_t step)
{
	size_t done = 0;

	while (done < count) {
		size_t part = count - done < step ? count - done : step;
		long ret = result(in ? read(fd, buf + done, part) :
				       write(fd, buf + done, part));
		if (ret < 0)
			return ret;
		if (!ret)
			break;
		done += (size_t)ret;
	}
	return (long)done;
}

static int create(int fd)
{
	int in_suspend = -1;

	if (ioctl(fd, SNAPSHOT_FREEZE))
		fatal("SNAPSHOT_FREEZE");
	if (ioctl(fd, SNAPSHOT_CREATE_IMAGE, &in_suspend))
		fatal("SNAPSHOT_CREATE_IMAGE");
	return in_suspend;
}

static uint64_t image_size(int fd)
{
	__kernel_loff_t size = 0;

	if (ioctl(fd, SNAPSHOT_GET_IMAGE_SIZE, &size))
		fatal("SNAPSHOT_GET_IMAGE_SIZE");
	return (uint64_t)size;
}

static const char * const names[] = {
	"create begin", "allocated", "kthreads frozen", "devices frozen", "devices off",
	"CPUs off", "syscore off", "copy begin", "copy end", "syscore on", "CPUs on",
	"devices on", "devices thawed", "create end",
	"restore begin", "devices quiesced", "devices off", "CPUs off", "jump",
	"resume begin", "syscore on", "CPUs on", "devices on", "devices restored",
	"resume end",
};

static void phases(int fd, struct snapshot_phases *p, bool print)
{
	uint64_t last = 0;

	memset(p, 0xee, sizeof(*p));
	p->size = sizeof(*p);
	p->flags = 0;
	if (ioctl(fd, SNAPSHOT_GET_PHASES, p))
		fatal("SNAPSHOT_GET_PHASES");
	for (unsigned int i = 0; print && i < p->count; i++) {
		uint64_t c = p->cycles[i];

		printf("# phase %2u %-17s ", i, i < 25 ? names[i] : "?");
		if (!c)
			printf("-\n");
		else if (last && p->cycles_khz)
			printf("+%.3f ms\n", (double)(int64_t)(c - last) / p->cycles_khz);
		else
			printf("%llu\n", (unsigned long long)c);
		if (c)
			last = c;
	}
}

static bool reached(const struct snapshot_phases *p, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i <= to; i++)
		if (!p->cycles[i] || (i > from && p->cycles[i] < p->cycles[i - 1]))
			return false;
	return true;
}

static bool clear(const struct snapshot_phases *p, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i <= to; i++)
		if (p->cycles[i])
			return false;
	return true;
}

static void test_get_phases(void)
{
	struct { struct snapshot_phases p; uint64_t more; } big;
	struct snapshot_phases p = { .size = sizeof(p) };
	int fd = device(O_RDONLY);

	EXPECT(ioctl(fd, SNAPSHOT_GET_PHASES, &p), 0);
	check(p.count == SNAPSHOT_PHASE_COUNT, "count", p.count);
	check(clear(&p, 0, SNAPSHOT_PHASES_MAX - 1), "nothing reached yet", 0);
	p.size = sizeof(p) - 1;
	EXPECT(ioctl(fd, SNAPSHOT_GET_PHASES, &p), -EINVAL);
	p.size = sizeof(p);
	p.flags = 1;
	EXPECT(ioctl(fd, SNAPSHOT_GET_PHASES, &p), -EINVAL);
	EXPECT(ioctl(fd, SNAPSHOT_GET_PHASES, NULL), -EFAULT);
	memset(&big, 0, sizeof(big));
	big.p.size = sizeof(big);
	big.more = 42;
	EXPECT(ioctl(fd, SNAPSHOT_GET_PHASES, &big), 0);
	check(big.p.size == sizeof(p) && big.more == 42, "size filled in", big.p.size);
	EXPECT(ioctl(fd, _IO('3', 99), 0), -ENOTTY);
	close(fd);
}

/* Reads a whole image in calls of @step bytes, tells how fast that was. */
static void timed_read(size_t step)
{
	int fd = device(O_RDONLY);
	uint64_t size, done = 0;
	double start;
	long ret;

	create(fd);
	size = image_size(fd);
	start = now();
	while ((ret = result(read(fd, io, step))) > 0)
		done += (uint64_t)ret;
	start = now() - start;
	check(!ret && done == size, "image read to its end", (long)done);
	printf("# read of %.1f MB in calls of %zu: %.0f ms, %.0f MB/s\n",
	       (double)done / 1e6, step, start * 1e3, (double)done / 1e6 / start);
	close(fd);
	check(beats(), "the machine goes on", 0);
}

static void test_read(void)
{
	char *hole = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = device(O_RDONLY);
	struct snapshot_phases p;
	uint64_t size, done = 0;
	long ret;

	if (hole == MAP_FAILED || mprotect(hole + PAGE, PAGE, PROT_NONE))
		fatal("mmap");
	memset(hole, 0, PAGE);
	EXPECT(read(fd, io, PAGE), -ENODATA);
	check(create(fd) == 1, "image created", 0);
	size = image_size(fd);
	phases(fd, &p, true);
	check(reached(&p, SNAPSHOT_PHASE_CREATE_BEGIN, SNAPSHOT_PHASE_CREATE_END),
	      "phases of the creation", 0);
	check(clear(&p, SNAPSHOT_PHASE_RESTORE_BEGIN, SNAPSHOT_PHASES_MAX - 1),
	      "no other phases", 0);

	EXPECT(read(fd, io, 0), 0);
	EXPECT(read(fd, hole + PAGE, 1), -EFAULT);
	EXPECT(read(fd, io, 100), 100);
	EXPECT(read(fd, hole + PAGE - 10, 100), 10);
	EXPECT(read(fd, hole + PAGE, 100), -EFAULT);
	EXPECT(read(fd, io, 3 * PAGE), 3 * (long)PAGE);
	done = 110 + 3 * PAGE;
	EXPECT(read(fd, io, CHUNK), (long)CHUNK);
	done += CHUNK;
	/* More than the limit: faults beyond it are never seen. */
	ret = result(read(fd, io, CHUNK + PAGE));
	check(ret == (long)CHUNK, "one call moves 4 MiB at most", ret);
	done += (uint64_t)ret;
	while ((ret = result(read(fd, io, (size_t)rand() % CHUNK + 1))) > 0)
		done += (uint64_t)ret;
	check(!ret && done == size, "no byte lost or doubled", (long)(done - size));
	EXPECT(read(fd, io, 1), 0);
	EXPECT(ioctl(fd, SNAPSHOT_ATOMIC_RESTORE, 0), -EPERM);

	/* A page half read, then the image is made anew on the same descriptor. */
	EXPECT(ioctl(fd, SNAPSHOT_FREE, 0), 0);
	EXPECT(read(fd, io, PAGE), -ENODATA);
	check(create(fd) == 1, "second image created", 0);
	EXPECT(read(fd, io, 100), 100);
	EXPECT(ioctl(fd, SNAPSHOT_FREE, 0), 0);
	check(create(fd) == 1, "third image created", 0);
	size = image_size(fd);
	EXPECT(read(fd, io, PAGE), (long)PAGE);
	/* Half of it, then give up. */
	for (done = PAGE; done < size / 2; done += (uint64_t)ret) {
		ret = result(read(fd, io, CHUNK));
		if (ret <= 0)
			break;
	}
	check(done >= size / 2, "half of the image read", ret);
	close(fd);
	check(beats(), "the machine goes on after an abort", 0);
	munmap(hole, 3 * PAGE);
}

static uint64_t digest(const char *p, size_t size)
{
	const uint64_t *w = (const void *)p;
	uint64_t h = 1;

	for (size_t i = 0; i < size / 8; i++)
		h = (h ^ w[i]) * 0x9e3779b97f4a7c15ULL + (h >> 31);
	return h;
}

/* The lease was the other machine's. What wakes up from its image is held. */
static void test_held(int fd)
{
	usleep((SHORT_LEASE_MS + 500) * 1000);
	check(!beats(), "the lease is over, and nothing runs", 0);
	EXPECT(ioctl(fd, SNAPSHOT_LEASE, SHORT_LEASE_MS), -EPERM);
	EXPECT(ioctl(fd, SNAPSHOT_FREE, 0), 0);
	check(!beats(), "nor without the image", 0);
	EXPECT(ioctl(fd, SNAPSHOT_UNFREEZE, 0), 0);
	check(beats(), "only by an order", 0);
}

static int resumed(int fd)
{
	struct snapshot_phases p;

	if (patched) {
		test_held(fd);
		phases(fd, &p, true);
		check(reached(&p, SNAPSHOT_PHASE_CREATE_BEGIN, SNAPSHOT_PHASE_CREATE_COPY_BEGIN),
		      "phases of the creation came along", 0);
		check(clear(&p, SNAPSHOT_PHASE_CREATE_COPY_END, SNAPSHOT_PHASE_CREATE_END),
		      "those after the copy did not", 0);
		check(reached(&p, SNAPSHOT_PHASE_RESTORE_BEGIN, SNAPSHOT_PHASE_RESUME_END),
		      "phases of the restore", 0);
	}
	close(fd);
	check(beats(), "the machine goes on after the restore", 0);
	return 0;
}

static int source(void)
{
	char *ballast = mmap(NULL, BALLAST, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	uint64_t want, done = 0;
	int disk, fd;
	long ret;

	if (ballast == MAP_FAILED)
		fatal("mmap");
	for (size_t i = 0; i < BALLAST / 2; i += 8)
		*(uint64_t *)(void *)(ballast + i) = i * 0x9e3779b97f4a7c15ULL | 1;
	want = digest(ballast, BALLAST);

	if (patched) {
		test_get_phases();
		test_read();
	}
	timed_read(PAGE);
	timed_read(1UL << 20);
	timed_read(PAGE);
	timed_read(1UL << 20);

	disk = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (disk < 0)
		fatal(DISK);
	fd = device(O_RDONLY);
	if (patched) {
		EXPECT(ioctl(fd, SNAPSHOT_FREEZE, 0), 0);
		EXPECT(ioctl(fd, SNAPSHOT_LEASE, SHORT_LEASE_MS), 0);
	}
	if (!create(fd)) {
		/* The image has been restored: this is the new body. */
		check(digest(ballast, BALLAST) == want, "restored, memory as it was", 0);
		return resumed(fd);
	}
	if (patched)
		EXPECT(ioctl(fd, SNAPSHOT_LEASE, LONG_LEASE_MS), 0);
	while ((ret = move(fd, true, io + PAGE * !done, CHUNK - PAGE * !done,
			   patched ? CHUNK : PAGE)) > 0) {
		if (!done)
			memset(io, 0, PAGE);
		ret += (long)(PAGE * !done);
		if (pwrite(disk, io, (size_t)ret, (off_t)done) != ret)
			fatal("write to " DISK);
		done += (uint64_t)ret;
	}
	/* The disk's first page tells the size, the image comes after it. */
	memset(io, 0, PAGE);
	*(uint64_t *)(void *)io = done - PAGE;
	if (ret || pwrite(disk, io, PAGE, 0) != (ssize_t)PAGE)
		fatal("saving");
	check(true, "image saved", (long)done);
	close(fd);
	check(beats(), "the machine goes on after saving", 0);
	return 0;
}

#include "snapshot-hostile.h"

static int target(void)
{
	int disk = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC), fd;
	uint64_t done = 0;
	double start;
	long ret;

	if (disk < 0 || pread(disk, io, PAGE, 0) != (ssize_t)PAGE)
		fatal(DISK);
	size = *(uint64_t *)(void *)io;
	image = mmap(NULL, size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (image == MAP_FAILED)
		fatal("mmap");
	while (done < size) {
		ret = pread(disk, image + done,
			    size - done < CHUNK ? size - done : CHUNK, (off_t)(PAGE + done));
		if (ret <= 0)
			fatal("read of " DISK);
		done += (uint64_t)ret;
	}
	/* Once restored, the source's process must not find an image to load. */
	memset(io, 0, PAGE);
	if (pwrite(disk, io, PAGE, 0) != (ssize_t)PAGE)
		fatal("write to " DISK);

	if (patched)
		test_hostile();

	/* The first load warms up the emulator's memory and is not to be compared. */
	for (int i = 0; i < 3; i++) {
		size_t step = i == 1 ? PAGE : 1UL << 20;

		fd = device(O_WRONLY);
		start = now();
		ret = move(fd, false, image, size, step);
		start = now() - start;
		check(ret == (long)size, "image loaded", ret);
		printf("# write of %.1f MB in calls of %zu: %.0f ms, %.0f MB/s\n",
		       (double)size / 1e6, step, start * 1e3, (double)size / 1e6 / start);
		if (i < 2)
			close(fd);
	}
	EXPECT(write(fd, image, PAGE), 0);
	EXPECT(ioctl(fd, SNAPSHOT_FREEZE, 0), 0);
	printf("# %u failures before the jump\n", failures);
	fflush(stdout);
	ret = result(ioctl(fd, SNAPSHOT_ATOMIC_RESTORE, 0));
	check(false, "never returns", ret);
	return 0;
}

int main(int argc, char **argv)
{
	struct snapshot_phases p = { .size = sizeof(p) };
	int fd, ret;
	pid_t child;

	if (argc != 2)
		return 2;
	io = mmap(NULL, CHUNK + PAGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (io == MAP_FAILED)
		fatal("mmap");
	child = start_heartbeat();

	fd = device(O_RDONLY);
	patched = !ioctl(fd, SNAPSHOT_GET_PHASES, &p);
	close(fd);
	printf("# %s kernel\n", patched ? "patched" : "unpatched");
	ret = play(argv[1], source, target);
	return finish(child) || ret;
}
