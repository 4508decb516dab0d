// SPDX-License-Identifier: GPL-2.0-only
/* What a disk says of its owner, and what a machine that boots makes of it. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "listener.h"
#include "target/boot-guard.h"

#define RECORD "/run/record"
#define SLOT   (OWNERSHIP_BYTES / 2)

static const struct ownership moving = {.state = OWNERSHIP_MOVING,
					.machine = "node1",
					.id = {.attempt = {1, 2, 3}, .generation = 7},
					.orchestrator = {.address = 0x0100007f, .port = 7071}};

static void make_record(void)
{
	int fd = open(RECORD, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, OWNERSHIP_BYTES))
		abort();
	close(fd);
}

static void damage(off_t at)
{
	int fd = open(RECORD, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	if (pread(fd, &byte, 1, at) != 1)
		abort();
	byte ^= 0xff;
	if (pwrite(fd, &byte, 1, at) != 1)
		abort();
	close(fd);
}

static void test_record(void)
{
	struct ownership owned = moving, read;

	make_record();
	CHECK(ownership_read(RECORD, &read) == -ENODATA, "nobody has written yet");
	CHECK(ownership_write(RECORD, &moving) == 0, "written");
	CHECK(ownership_read(RECORD, &read) == 0 && memcmp(&read, &moving, sizeof(read)) == 0,
	      "and read back");
	owned.state = OWNERSHIP_OWNED;
	copy_text(owned.machine, sizeof(owned.machine), "node2");
	for (int i = 0; i < 5; i++)
		ownership_write(RECORD, i == 4 ? &owned : &moving);
	ownership_read(RECORD, &read);
	CHECK(read.state == OWNERSHIP_OWNED && strcmp(read.machine, "node2") == 0,
	      "the newest counts");
	/* Six were written: the last one lies in the first slot. */
	damage(40);
	CHECK(ownership_read(RECORD, &read) == 0 && read.state == OWNERSHIP_MOVING,
	      "one that is torn leaves the one before");
	damage(SLOT + 40);
	CHECK(ownership_read(RECORD, &read) == -EBADMSG,
	      "two that are torn are not taken for none");
	CHECK(ownership_write(RECORD, &owned) == 0 && ownership_read(RECORD, &read) == 0 &&
		  read.state == OWNERSHIP_OWNED,
	      "what is damaged can be written anew");
	CHECK(ownership_read("/run/none", &read) == -ENOENT, "no such file");
	CHECK(truncate(RECORD, 100) == 0 && ownership_read(RECORD, &read) == -ENOSPC, "too small");
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		abort();
	close(fd);
}

static void test_find(void)
{
	static const char *const directories[] = {"/run/r",
						  "/run/r/sys",
						  "/run/r/sys/class",
						  "/run/r/sys/class/block",
						  "/run/r/sys/class/block/a",
						  "/run/r/sys/class/block/b"};
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		mkdir(directories[i], 0755);
	write_file("/run/r/sys/class/block/a/uevent", "DEVNAME=sda2\nPARTNAME=pmsm-owner-not\n");
	write_file("/run/r/sys/class/block/b/uevent",
		   "MAJOR=8\nDEVNAME=sda1\nDEVTYPE=partition\nPARTNAME=pmsm-owner\n");
	CHECK(ownership_find(path, sizeof(path), "PARTLABEL=pmsm-owner", "/run/r") == 0 &&
		  strcmp(path, "/run/r/dev/sda1") == 0,
	      "by its label");
	CHECK(ownership_find(path, sizeof(path), "PARTLABEL=pmsm", "/run/r") == -ENOENT,
	      "not by part of it");
	write_file("/run/r/sys/class/block/a/uevent", "DEVNAME=sdb1\nPARTNAME=pmsm-owner\nx=x");
	CHECK(ownership_find(path, sizeof(path), "PARTLABEL=pmsm-owner", "/run/r") == -ENOTUNIQ,
	      "a clone of the disk makes it unclear");
	CHECK(ownership_find(path, sizeof(path), "/run", "") == 0 && strcmp(path, "/run") == 0,
	      "by its path");
	CHECK(ownership_find(path, sizeof(path), "/run/none", "") == -ENOENT,
	      "a path that is not there");
	CHECK(ownership_find(path, 4, "/run", "") == -ENAMETOOLONG, "a path that is too long");
}

static void test_verdict(void)
{
	struct ownership owned = {.state = OWNERSHIP_OWNED, .machine = "node1"};

	CHECK(boot_verdict(0, &owned, "node1") == BOOT, "its owner boots");
	CHECK(boot_verdict(0, &owned, "node2") == WAIT, "another machine waits");
	CHECK(boot_verdict(0, &owned, "node") == WAIT, "and one whose name is a part of it");
	CHECK(boot_verdict(0, &owned, "") == WAIT, "and one without a name");
	CHECK(boot_verdict(0, &moving, "node1") == ASK, "in an attempt both ask");
	CHECK(boot_verdict(0, &moving, "node2") == ASK, "in an attempt both ask");
	CHECK(boot_verdict(-ENODATA, &owned, "node1") == WAIT, "nobody has written yet");
	CHECK(boot_verdict(-ENOTUNIQ, &owned, "node1") == WAIT, "two disks that say so");
	CHECK(boot_verdict(-EBADMSG, &owned, "node1") == WAIT, "a damaged record");
	CHECK(boot_verdict(-EIO, &owned, "node1") == WAIT, "a disk that fails");
	CHECK(boot_verdict(-ENOENT, &owned, "node1") == WAIT, "no record");
}

/* The machine connects as a standby that waits, and claims the attempt of the record. */
static bool meet(void)
{
	struct pmsm_msg_claim claim;
	struct frame frame;

	if (!accept_peer(SOON_MS))
		return false;
	if (!next_is(PMSM_MSG_HELLO, &frame) || frame.payload[0] != PMSM_ROLE_STANDBY ||
	    !next_is(PMSM_MSG_WAITING, &frame) || !next_is(PMSM_MSG_CLAIM, &frame))
		return false;
	memcpy(&claim, frame.payload, sizeof(claim));
	return attempt_same(&moving.id, claim.attempt, claim.generation);
}

static void answer(uint8_t ownership, uint64_t generation)
{
	struct pmsm_msg_owned m = {.generation = generation, .ownership = ownership};

	memcpy(m.attempt, moving.id.attempt, ATTEMPT_BYTES);
	link_send(&control, PMSM_MSG_OWNED, &m, NULL, 0, clock_deadline_ms(SOON_MS));
}

static pid_t boot(const struct endpoint *orchestrator)
{
	static struct machine_settings settings = {.machine = "node2", .interface = "lo"};
	pid_t child = fork();

	if (child != 0)
		return child;
	settings.orchestrator = *orchestrator;
	settings.address.address = orchestrator->address;
	copy_text(settings.record, sizeof(settings.record), RECORD);
	_exit((int)boot_guard(&settings));
}

static int verdict_of(pid_t child)
{
	int status = -1;

	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool still_asks(pid_t child)
{
	return waitpid(child, NULL, WNOHANG) == 0;
}

static void test_asking(const struct endpoint *here)
{
	struct frame frame;
	pid_t child;

	make_record();
	ownership_write(RECORD, &moving);
	child = boot(here);
	CHECK(meet(), "a machine that was being moved asks");
	answer(PMSM_OWNERSHIP_UNDECIDED, moving.id.generation);
	CHECK(next_is(PMSM_MSG_CLAIM, &frame) && still_asks(child), "again, while it is undecided");
	answer(PMSM_OWNERSHIP_YOURS, moving.id.generation + 1);
	CHECK(meet() && still_asks(child), "an answer about another attempt is none");
	link_close(&control);
	CHECK(meet() && still_asks(child), "nor is a link that ends");
	answer(PMSM_OWNERSHIP_YOURS, moving.id.generation);
	CHECK(verdict_of(child) == BOOT, "it boots when it is told that it is the owner");
	child = boot(here);
	CHECK(meet(), "another time");
	answer(PMSM_OWNERSHIP_ANOTHER, moving.id.generation);
	CHECK(verdict_of(child) == WAIT, "it waits when it is told that it is not");
}

int main(void)
{
	struct endpoint here;

	if (!listen_here(&here))
		return test_end();
	test_record();
	test_find();
	test_verdict();
	test_asking(&here);
	return test_end();
}
