// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who thaws a frozen system: whoever froze it, the kernel when the device is closed or a lease has
 * ended, or, when it is held, nobody but by order. See abi/hold.rst.
 */
#include "harness.h"
#include "kernel-log.h"
#include <sys/reboot.h>
#include <sys/sysinfo.h>

#define LEASE_MS	400UL
#define MS		1000U	/* of usleep() */
#define CREATE_BYTES	(1UL << 20)
#define IMAGES		3
#define LEAK_BYTES	(8UL << 20)	/* a third of what an image has here */

static void test_misuse(void)
{
	int fd = device(O_WRONLY);

	EXPECT(ioctl(fd, SNAPSHOT_LEASE, LEASE_MS), -EPERM);
	EXPECT(ioctl(fd, SNAPSHOT_HOLD, 1), -EPERM);
	close(fd);
	fd = device(O_RDONLY);
	EXPECT(ioctl(fd, SNAPSHOT_LEASE, 0), -EINVAL);
	EXPECT(ioctl(fd, SNAPSHOT_LEASE, 1UL << 32), -EINVAL);
	EXPECT(ioctl(fd, SNAPSHOT_HOLD, 2), -EINVAL);
	EXPECT(ioctl(fd, SNAPSHOT_LEASE, LEASE_MS), -EPERM);
	EXPECT(ioctl(fd, SNAPSHOT_HOLD, 1), -EPERM);
	close(fd);
}

/* A lease that ends before it is renewed; @image: with an image half read. */
static void test_lease(bool image)
{
	char *data = pages(CREATE_BYTES);
	int fd = device(O_RDONLY), in_suspend = 0;

	EXPECT(ioctl(fd, SNAPSHOT_FREEZE, 0), 0);
	if (image) {
		EXPECT(ioctl(fd, SNAPSHOT_CREATE_IMAGE, &in_suspend), 0);
		EXPECT(read(fd, data, CREATE_BYTES), (long)CREATE_BYTES);
	}
	for (int i = 0; i < 4; i++) {
		EXPECT(ioctl(fd, SNAPSHOT_LEASE, LEASE_MS), 0);
		usleep(LEASE_MS * MS / 2);
	}
	check(!beats(), "a lease that is renewed does not end", 0);
	usleep(LEASE_MS * MS);
	check(beats(), "one that is not thaws the system", 0);
	EXPECT(ioctl(fd, SNAPSHOT_HOLD, 1), -ETIME);
	EXPECT(ioctl(fd, SNAPSHOT_LEASE, LEASE_MS), -ETIME);
	EXPECT(read(fd, data, PAGE), -ENODATA);
	EXPECT(ioctl(fd, SNAPSHOT_CREATE_IMAGE, &in_suspend), -EPERM);
	EXPECT(ioctl(fd, SNAPSHOT_UNFREEZE, 0), 0);

	/* Then everything anew, on the same descriptor. */
	EXPECT(ioctl(fd, SNAPSHOT_FREEZE, 0), 0);
	EXPECT(ioctl(fd, SNAPSHOT_LEASE, LEASE_MS), 0);
	EXPECT(ioctl(fd, SNAPSHOT_HOLD, 1), 0);
	EXPECT(ioctl(fd, SNAPSHOT_LEASE, LEASE_MS), -EPERM);
	usleep(2 * LEASE_MS * MS);
	check(!beats(), "a system that is held has no lease", 0);
	EXPECT(ioctl(fd, SNAPSHOT_HOLD, 0), 0);
	usleep(2 * LEASE_MS * MS);
	check(!beats(), "nor one that is held no longer", 0);
	close(fd);
	check(beats(), "which is thawed when the device is closed", 0);
	munmap(data, CREATE_BYTES);
}

/* What two processes tell each other: one end is closed when the other dies. */
struct deputy {
	int pipe[2];
	volatile int *verdict;
	bool held;	/* or leased */
};

static void wait_for_death(struct deputy *d)
{
	char byte;

	close(d->pipe[1]);
	while (read(d->pipe[0], &byte, 1) > 0)
		;
}

/*
 * A process that freezes the system, forks another one, which so is not frozen and has the device
 * open, holds or leases the system, and is killed.
 */
static pid_t freeze_and_die(struct deputy *d, void (*be_other)(struct deputy *d, int fd))
{
	pid_t child = fork();
	int fd;

	if (child)
		return child;
	fd = device(O_RDONLY);
	/* Not before: who is frozen would have the other end open, too. */
	if (pipe(d->pipe) || ioctl(fd, SNAPSHOT_FREEZE, 0))
		_exit(1);
	if (!fork())
		be_other(d, fd);
	if (d->held ? ioctl(fd, SNAPSHOT_HOLD, 1) : ioctl(fd, SNAPSHOT_LEASE, LEASE_MS))
		_exit(1);
	kill(getpid(), SIGKILL);
	_exit(1);
}

static void be_deputy(struct deputy *d, int fd)
{
	bool frozen;

	wait_for_death(d);
	frozen = !beats();
	if (d->held) {
		ioctl(fd, SNAPSHOT_UNFREEZE, 0);
		*d->verdict = frozen && beats() ? 1 : 2;
	} else {
		/* The lease ends all the same. */
		usleep(2 * LEASE_MS * MS);
		*d->verdict = frozen && beats() ? 1 : 2;
	}
	_exit(0);
}

static void test_deputy(bool held)
{
	struct deputy d = { .verdict = pages(PAGE), .held = held };
	pid_t child = freeze_and_die(&d, be_deputy);
	int status;

	waitpid(child, &status, 0);
	check(WIFSIGNALED(status), "whoever froze the system is killed", status);
	for (int i = 0; i < 50 && !*d.verdict; i++)
		usleep(100 * MS);
	check(*d.verdict == 1, held ? "his deputy thaws it" : "the lease thaws it", *d.verdict);
	usleep(100 * MS);	/* until the deputy has closed the device */
	child = open("/dev/snapshot", O_RDONLY | O_CLOEXEC);
	check(child >= 0, "the device is free again", child);
	close(child);
	munmap((void *)d.verdict, PAGE);
}

static int source(void)
{
	struct sysinfo before, after;

	test_misuse();
	test_lease(false);
	/* The first image of all leaves its pages on the processor's own lists. */
	test_lease(true);
	sysinfo(&before);
	for (int i = 0; i < IMAGES; i++)
		test_lease(true);
	sysinfo(&after);
	check(before.freeram < after.freeram + IMAGES * LEAK_BYTES, "no image is lost",
	      (long)(before.freeram - after.freeram));
	test_deputy(true);
	test_deputy(false);
	check(!strstr(kernel_log(), "WARNING:"), "the kernel complains of nothing", 0);
	return 0;
}

/* Nobody is left who could thaw: this process has no device, it only looks. */
static void be_witness(struct deputy *d, int fd)
{
	int again;

	close(fd);
	wait_for_death(d);
	check(!beats(), "the system stays frozen with the device closed", 0);
	usleep(1000 * MS);
	check(!beats(), "and does for good", 0);
	again = open("/dev/snapshot", O_RDONLY | O_CLOEXEC);
	check(again < 0 && errno == EBUSY, "the device is busy", again);
	check(strstr(kernel_log(), "nobody is left to thaw it"), "the kernel says so", 0);
	printf("1..%u\ndone, %u failures\n", checks, failures);
	fflush(stdout);
	reboot(RB_AUTOBOOT);
	_exit(1);
}

/* Ends the machine. */
static int target(void)
{
	struct deputy d = { .held = true };

	waitpid(freeze_and_die(&d, be_witness), NULL, 0);
	usleep(3000 * MS);
	check(false, "a system that is held is thawed by nobody", 0);
	return 1;
}

int main(int argc, char **argv)
{
	pid_t child;
	int ret;

	if (argc != 2)
		return 2;
	child = start_heartbeat();
	ret = play(argv[1], source, target);
	return finish(child) || ret;
}
