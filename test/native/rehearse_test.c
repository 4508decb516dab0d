// SPDX-License-Identifier: GPL-2.0-only
/* What a standby's rehearsal asks of the kernel, and what it makes of the answer. */
#include <errno.h>
#include <string.h>

#include "target/rehearse.h"
#include "test.h"

/* A kernel that writes down what it was asked, a letter a call, and fails at one of them. */
struct kernel {
	char asked[16];
	char fails_at;
	int error;
};

static int answer(struct snapshot_device *device, char call)
{
	struct kernel *kernel = device->context;
	size_t length = strlen(kernel->asked);

	if (length + 1 < sizeof(kernel->asked))
		kernel->asked[length] = call;
	return call == kernel->fails_at ? kernel->error : 0;
}

static int fake_open(struct snapshot_device *device, enum snapshot_mode mode)
{
	return answer(device, mode == SNAPSHOT_MODE_SAVE ? 'o' : '?');
}

static int fake_freeze(struct snapshot_device *device)
{
	return answer(device, 'f');
}

static int fake_create(struct snapshot_device *device, int *in_suspend)
{
	*in_suspend = 1;
	return answer(device, 'c');
}

static int fake_free(struct snapshot_device *device)
{
	return answer(device, 'i');
}

static void fake_close(struct snapshot_device *device)
{
	answer(device, 'x');
}

static const struct snapshot_operations operations = {.open = fake_open,
						      .freeze = fake_freeze,
						      .create = fake_create,
						      .free_image = fake_free,
						      .close = fake_close};

static void check(char fails_at, int error, enum rehearsal expected, const char *asked,
		  const char *what)
{
	struct kernel kernel = {.fails_at = fails_at, .error = error};
	struct snapshot_device device = {.ops = &operations, .fd = -1, .context = &kernel};

	CHECK(rehearse(&device) == expected && strcmp(kernel.asked, asked) == 0, "%s (%s)", what,
	      kernel.asked);
}

int main(void)
{
	check(0, 0, REHEARSAL_HELD, "ofcix", "stopped and started, and the image is thrown away");
	check('o', -ENODEV, REHEARSAL_NOT_TRIED, "o", "no such device");
	check('o', -EPERM, REHEARSAL_NOT_TRIED, "o", "hibernation is off");
	check('f', -EBUSY, REHEARSAL_FAILED, "ofx", "a process that does not freeze");
	check('c', -ENOMEM, REHEARSAL_NOT_TRIED, "ofcx", "too little memory for a snapshot");
	check('c', -ENOSPC, REHEARSAL_NOT_TRIED, "ofcx", "too little memory, by another name");
	check('c', -EIO, REHEARSAL_FAILED, "ofcx", "a driver refuses");
	check('c', -EBUSY, REHEARSAL_FAILED, "ofcx", "a device is busy");
	return test_end();
}
