// SPDX-License-Identifier: GPL-2.0-only
#include "source/watch.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "common/clock.h"

#define WATCH_POLL_MS 50

int take_target_error(struct attempt *a, const struct frame *frame)
{
	struct pmsm_msg_error m;

	memcpy(&m, frame->payload, sizeof(m));
	return failure_set(&a->failure, m.code, (int)m.system_errno, "the target: %.*s",
			   (int)min_u64(frame->tail_bytes, 200), (const char *)frame->tail);
}

static int take_stream_frame(struct attempt *a, const struct frame *frame)
{
	struct pmsm_msg_progress progress;

	switch (frame->type) {
	case PMSM_MSG_PROGRESS:
		memcpy(&progress, frame->payload, sizeof(progress));
		a->progress_bytes = progress.raw_bytes;
		a->progress_ahead_bytes = progress.ahead_bytes;
		a->rounds_loaded = progress.rounds;
		return 0;
	case PMSM_MSG_ERROR:
		return take_target_error(a, frame);
	default:
		return -EPROTO;
	}
}

static int take_control_frame(struct attempt *a, const struct frame *frame, bool *commit)
{
	if (frame->type != PMSM_MSG_COMMIT)
		return take_common_frame(a, frame);
	if (!commit || !frame_is_ours(a, frame) || state_get(attempt_state(a)) != STATE_SENT)
		return -EPROTO;
	*commit = true;
	return 0;
}

static int serve_links(struct attempt *a, bool *commit)
{
	struct frame frame;
	int result;

	while (!(commit && *commit) && (result = link_next(&a->control, &frame)) != 0) {
		if (result > 0)
			result = take_control_frame(a, &frame, commit);
		if (result)
			return failure_set(&a->failure,
					   link_error_code(result, PMSM_E_ORCHESTRATOR_LOST),
					   result, "control link: %s", strerror(-result));
	}
	while (!(commit && *commit) && (result = link_next(&a->stream, &frame)) != 0) {
		if (result > 0)
			result = take_stream_frame(a, &frame);
		if (result)
			return failure_set(&a->failure,
					   link_error_code(result, PMSM_E_STREAM_FAILED), result,
					   "stream: %s", strerror(-result));
	}
	return 0;
}

int check_pipeline(struct attempt *a)
{
	struct pipeline *p = &a->pipeline;

	if (!p->error)
		return 0;
	if (p->error_is_read)
		return failure_set(&a->failure, PMSM_E_SNAPSHOT_FAILED, p->error,
				   "reading the image: %s", strerror(-p->error));
	return failure_set(&a->failure, PMSM_E_STREAM_FAILED, p->error, "sending the image: %s",
			   strerror(-p->error));
}

int check_stall(struct attempt *a, struct movement *last)
{
	uint64_t sent = a->pipeline.moved, now = clock_ns();
	uint64_t loaded = a->progress_bytes + a->progress_ahead_bytes;

	if (sent != last->sent || loaded != last->loaded || last->since_ns == 0) {
		*last = (struct movement){sent, loaded, now};
		return 0;
	}
	if (now - last->since_ns < a->options.stall_ms * NS_PER_MS)
		return 0;
	return failure_set(&a->failure, PMSM_E_STALLED, ETIMEDOUT,
			   "nothing moved for %u ms: %llu bytes taken by the socket, %llu loaded",
			   a->options.stall_ms, (unsigned long long)sent,
			   (unsigned long long)loaded);
}

int watch_links(struct attempt *a, bool *commit)
{
	struct pollfd fds[3] = {{.fd = a->control.fd, .events = POLLIN},
				{.fd = a->stream.fd, .events = POLLIN},
				{.fd = a->pipeline.wake_fd, .events = POLLIN}};
	uint64_t drained;

	poll(fds, 3, WATCH_POLL_MS);
	if (fds[2].revents)
		(void)!read(a->pipeline.wake_fd, &drained, sizeof(drained));
	return serve_links(a, commit);
}
