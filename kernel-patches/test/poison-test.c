// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test of /dev/snapshot on a machine in which page frames have failed, to be run from
 * init in one emulated machine:
 *
 *   poison-test source     a poisoned frame is not in the image, and no image is loaded while
 *                          one is known; both are as ever when it is mended.  With part of a
 *                          huge page poisoned there is no image
 *
 * Frames are poisoned by madvise(MADV_HWPOISON) and mended by hwpoison-inject.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <sys/mount.h>

#define CHUNK		(1UL << 20)
#define ROOM		(64UL << 20)
#define HUGE		(2UL << 20)
#define DEBUGFS		"/sys/kernel/debug"
#define UNPOISON	DEBUGFS "/hwpoison/unpoison-pfn"
#define PFN_MASK	((1ULL << 55) - 1)
#define LIST_END	(~0ULL)
#define FLAGS		(3ULL << 62)

static char *image;
static uint64_t size;

static uint64_t frame_of(const void *at)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (fd < 0 || pread(fd, &entry, 8, (off_t)((uintptr_t)at / PAGE * 8)) != 8)
		fatal("pagemap");
	close(fd);
	return entry & PFN_MASK;
}

/* A page with contents, so that it has a frame of its own. */
static char *make_page(void)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (page == MAP_FAILED)
		fatal("mmap");
	memset(page, 0x5a, PAGE);
	return page;
}

static void poison(char *page)
{
	if (madvise(page, PAGE, MADV_HWPOISON))
		fatal("MADV_HWPOISON");
}

static void mend(uint64_t pfn)
{
	FILE *f = fopen(UNPOISON, "w");

	if (!f || fprintf(f, "%llu\n", (unsigned long long)pfn) < 0 || fclose(f))
		fatal(UNPOISON);
}

/* Makes an image and reads all of it. */
static void save(void)
{
	int fd = device(O_RDONLY), in_suspend = -1;
	long ret;

	if (ioctl(fd, SNAPSHOT_FREEZE) || ioctl(fd, SNAPSHOT_CREATE_IMAGE, &in_suspend))
		fatal("SNAPSHOT_CREATE_IMAGE");
	for (size = 0; size < ROOM; size += (uint64_t)ret) {
		ret = read(fd, image + size, ROOM - size < CHUNK ? ROOM - size : CHUNK);
		if (ret < 0)
			fatal("read");
		if (!ret)
			break;
	}
	close(fd);
	check(size > PAGE && size < ROOM, "an image was made", (long)size);
}

static bool image_has(uint64_t pfn)
{
	const uint64_t *list = (const void *)(image + PAGE);

	for (size_t i = 0; i < (size - PAGE) / 8 && list[i] != LIST_END; i++)
		if ((list[i] & ~FLAGS) == pfn)
			return true;
	return false;
}

static long load(void)
{
	int fd = device(O_WRONLY);
	uint64_t done = 0;
	long ret = 0;

	for (; done < size; done += (uint64_t)ret) {
		ret = result(write(fd, image + done, size - done < PAGE ? size - done : PAGE));
		if (ret <= 0)
			break;
	}
	close(fd);
	return ret < 0 ? ret : (long)done;
}

/* A standby says so before anybody has begun to send. */
static void test_preload(void)
{
	struct snapshot_preload_begin begin = { .size = sizeof(begin) };
	int fd = device(O_WRONLY);

	EXPECT(ioctl(fd, SNAPSHOT_FREEZE), 0);
	EXPECT(ioctl(fd, SNAPSHOT_PRELOAD_BEGIN, &begin), -EHWPOISON);
	close(fd);
}

static long try_image(void)
{
	int fd = device(O_RDONLY), in_suspend = -1;
	long ret;

	EXPECT(ioctl(fd, SNAPSHOT_FREEZE), 0);
	ret = result(ioctl(fd, SNAPSHOT_CREATE_IMAGE, &in_suspend));
	close(fd);
	return ret;
}

/* One of its pages has failed: which one is not to be seen, and the rest may still be read. */
static void test_huge(void)
{
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "w");
	char *huge;

	if (!f || fprintf(f, "1\n") < 0 || fclose(f))
		fatal("nr_hugepages");
	huge = mmap(NULL, HUGE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	must(huge != MAP_FAILED, "huge page");
	memset(huge, 0x5a, HUGE);
	check(try_image() == 0, "an image with a huge page", 0);
	poison(huge + 5 * PAGE);
	check(try_image() == -EHWPOISON, "none when part of it has failed", 0);
}

/* Who had the page is told so; this is no surprise here. */
static void told(int signal)
{
	(void)signal;
}

static int source(void)
{
	char *bad = make_page(), *good = make_page();
	uint64_t bad_pfn = frame_of(bad), good_pfn = frame_of(good);

	image = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (image == MAP_FAILED)
		fatal("mmap");
	check(bad_pfn && good_pfn && bad_pfn != good_pfn, "two frames", (long)bad_pfn);

	poison(bad);
	save();
	check(!image_has(bad_pfn), "a poisoned frame is not in the image", (long)bad_pfn);
	check(image_has(good_pfn), "another one is", (long)good_pfn);

	/* As if the memory of the restoring machine had failed there, where the image wants nothing. */
	EXPECT(load(), -EPERM);
	mend(bad_pfn);
	check(load() == (long)size, "it can be loaded when the frame is mended", 0);
	/* And where it does. */
	poison(good);
	EXPECT(load(), -EPERM);
	test_preload();
	mend(good_pfn);
	check(load() == (long)size, "it can again when the frame is mended", 0);

	munmap(bad, PAGE);
	munmap(good, PAGE);
	test_huge();
	check(beats(), "the machine goes on", 0);
	return 0;
}

int main(int argc, char **argv)
{
	int ret = 2;
	pid_t child;

	if (argc != 2 || strcmp(argv[1], "source"))
		return ret;
	if (mount("debug", DEBUGFS, "debugfs", 0, NULL))
		fatal(DEBUGFS);
	child = start_heartbeat();
	signal(SIGBUS, told);
	ret = source();
	return finish(child) || ret;
}
