// SPDX-License-Identifier: GPL-2.0-only
#include "target/rehearse.h"

#include <errno.h>

#include "common/log.h"

static enum rehearsal judge(int error)
{
	if (!error)
		return REHEARSAL_HELD;
	if (error == -ENOMEM || error == -ENOSPC || error == -ENODEV || error == -EPERM) {
		log_text("not rehearsed: %s", strerror(-error));
		return REHEARSAL_NOT_TRIED;
	}
	log_text("this machine's devices did not stop: %s", strerror(-error));
	return REHEARSAL_FAILED;
}

const char *rehearsal_name(enum rehearsal rehearsal)
{
	static const char *const names[] = {
	    [REHEARSAL_HELD] = "held", [REHEARSAL_FAILED] = "failed"};

	return names[rehearsal];
}

enum rehearsal rehearse(struct snapshot_device *snapshot)
{
	int in_suspend = 1, error = snapshot->ops->open(snapshot, SNAPSHOT_MODE_SAVE);

	if (error)
		return judge(error);
	/* Said before it is done: should the machine not come back, this is its last word. */
	log_text("rehearsing: devices are stopped and started once");
	error = snapshot->ops->freeze(snapshot);
	if (!error)
		error = snapshot->ops->create(snapshot, &in_suspend);
	if (!error)
		snapshot->ops->free_image(snapshot);
	/* Thaws whatever was frozen. */
	snapshot->ops->close(snapshot);
	return judge(error);
}
