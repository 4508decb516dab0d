// SPDX-License-Identifier: GPL-2.0-only
#include "source/watchdog.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#include "common/clock.h"

static void *watch(void *argument)
{
	struct watchdog *w = argument;
	struct timespec until = {.tv_sec = (time_t)(w->deadline_ns / NS_PER_S),
				 .tv_nsec = (long)(w->deadline_ns % NS_PER_S)};

	pthread_mutex_lock(&w->lock);
	while (!w->done && clock_ns() < w->deadline_ns)
		pthread_cond_clockwait(&w->changed, &w->lock, CLOCK_MONOTONIC, &until);
	w->bit = !w->done;
	pthread_mutex_unlock(&w->lock);
	if (w->bit) {
		atomic_store(w->standing, false);
		w->snapshot->ops->thaw(w->snapshot);
	}
	return NULL;
}

int watchdog_start(struct watchdog *w, struct snapshot_device *snapshot, _Atomic bool *standing,
		   uint64_t limit_ms, uint8_t *stack, size_t stack_bytes)
{
	pthread_attr_t attributes;
	int error;

	*w = (struct watchdog){
	    .snapshot = snapshot, .standing = standing, .deadline_ns = clock_deadline_ms(limit_ms)};
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, stack, stack_bytes);
	error = pthread_create(&w->thread, &attributes, watch, w);
	pthread_attr_destroy(&attributes);
	return -error;
}

bool watchdog_end(struct watchdog *w)
{
	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	return w->bit;
}
