// SPDX-License-Identifier: GPL-2.0-only
/* Whose watchdog is petted: the one that another process has open, as it has it open. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "source/petting.h"
#include "test.h"

#define MARK_OFFSET 1234

static char directory[] = "/tmp/pmsm-petting-XXXXXX";
static char path[80], prefix[64];

/* Holds the file open until it is killed; the offset shows that it is this open file. */
static pid_t start_holder(void)
{
	int ready[2];
	pid_t pid;
	char byte;

	if (pipe(ready) < 0)
		exit(1);
	pid = fork();
	if (pid == 0) {
		int fd = open(path, O_WRONLY | O_CREAT, 0600);

		lseek(fd, MARK_OFFSET, SEEK_SET);
		(void)!write(ready[1], "", 1);
		for (;;)
			pause();
	}
	(void)!read(ready[0], &byte, 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

int main(void)
{
	static struct petting petting;
	pid_t holder;

	if (!mkdtemp(directory))
		return 1;
	snprintf(prefix, sizeof(prefix), "%s/watchdog", directory);
	snprintf(path, sizeof(path), "%s0", prefix);

	petting_find(&petting, prefix);
	CHECK(petting.count == 0, "nobody has a watchdog open");
	petting_pet(&petting);
	petting_restart(&petting);

	holder = start_holder();
	petting_find(&petting, prefix);
	CHECK(petting.count == 1, "the holder's is found");
	CHECK(petting.count == 1 && lseek(petting.fds[0], 0, SEEK_CUR) == MARK_OFFSET,
	      "and it is the holder's own open file");
	petting_pet(&petting);
	CHECK(petting.petted_ns > 0, "it is petted");
	petting_close(&petting);
	CHECK(petting.count == 0, "and let go");
	petting_find(&petting, prefix);
	CHECK(petting.count == 1, "which leaves it open there");
	petting_close(&petting);

	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	petting_find(&petting, prefix);
	CHECK(petting.count == 0, "one whose holder has ended is not petted");
	unlink(path);
	rmdir(directory);
	return test_end();
}
