// SPDX-License-Identifier: GPL-2.0-only
#include "target/boot-guard.h"

#include <errno.h>
#include <poll.h>

#include "common/clock.h"
#include "common/link.h"
#include "common/log.h"

#define DEVICE_WAIT_MS	   600000 /* storage may come up later than its hosts */
#define DEVICE_POLL_MS	   100
#define CONNECT_TIMEOUT_MS 2000
#define ASK_INTERVAL_MS	   2000
#define SEND_TIMEOUT_MS	   2000

/* One conversation with the orchestrator. */
struct asking {
	const struct machine_settings *settings;
	struct attempt_id id;
	struct endpoint orchestrator;
	struct netlink route;
	struct netdevs devices;
	struct link control;
	uint8_t buffer[PMSM_HEADER_BYTES + PMSM_LIMIT_CONTROL_PAYLOAD_BYTES];
};

static struct asking asking;

enum boot_verdict boot_verdict(int error, const struct ownership *o, const char *machine)
{
	if (error) {
		log_text(
		    "boot guard: nobody can tell who owns the disk: %s. If %s does, and no other "
		    "machine runs, boot it once with pmsm.take",
		    error == -ENODATA ? "it has had no owner yet" : strerror(-error), machine);
		return WAIT;
	}
	if (o->state == OWNERSHIP_MOVING) {
		log_text("boot guard: %s was being moved when this machine went down", o->machine);
		return ASK;
	}
	if (strcmp(o->machine, machine) == 0) {
		log_text("boot guard: this machine owns the disk");
		return BOOT;
	}
	log_text("boot guard: %s owns the disk", o->machine);
	return WAIT;
}

static int find_and_read(const char *where, struct ownership *ownership)
{
	uint64_t deadline = clock_deadline_ms(DEVICE_WAIT_MS);
	char path[128];
	int error;

	while ((error = ownership_find(path, sizeof(path), where, "")) == -ENOENT &&
	       clock_left_ms(deadline) > 0)
		clock_sleep_ms(DEVICE_POLL_MS);
	return error ? error : ownership_read(path, ownership);
}

static int say(struct asking *a, uint16_t type, const struct attempt_id *id)
{
	struct pmsm_msg_claim m = {.generation = id->generation};

	_Static_assert(sizeof(m) == sizeof(struct pmsm_msg_waiting), "same fields");
	memcpy(m.attempt, id->attempt, ATTEMPT_BYTES);
	return link_send(&a->control, type, &m, NULL, 0, clock_deadline_ms(SEND_TIMEOUT_MS));
}

/* As a standby, which holds nothing, but without facts: it cannot be reserved before it knows. */
static int introduce(struct asking *a)
{
	uint64_t deadline = clock_deadline_ms(CONNECT_TIMEOUT_MS);
	struct pmsm_msg_hello hello = {.role = PMSM_ROLE_STANDBY};
	struct attempt_id none = {0};
	int error = migration_device_up(a->settings, &a->route, &a->devices);
	int fd;

	if (error && error != -EEXIST)
		return error;
	fd = migration_connect(migration_device(a->settings), a->settings->address.address,
			       &a->orchestrator, false, deadline);
	if (fd < 0)
		return fd;
	link_open(&a->control, fd, a->buffer, sizeof(a->buffer), PMSM_LIMIT_CONTROL_PAYLOAD_BYTES);
	error = link_send(&a->control, PMSM_MSG_HELLO, &hello, NULL, 0, deadline);
	return error ? error : say(a, PMSM_MSG_WAITING, &none);
}

static int answer_ping(struct asking *a, const struct frame *frame)
{
	struct pmsm_msg_pong pong = {.cycles = clock_cycles(), .realtime_ns = clock_realtime_ns()};
	struct pmsm_msg_ping ping;

	memcpy(&ping, frame->payload, sizeof(ping));
	pong.cookie = ping.cookie;
	return link_send(&a->control, PMSM_MSG_PONG, &pong, NULL, 0,
			 clock_deadline_ms(SEND_TIMEOUT_MS));
}

/* 0, or -errno; an answer is put into *verdict. */
static int take_frame(struct asking *a, const struct frame *frame, enum boot_verdict *verdict)
{
	struct pmsm_msg_owned m;

	if (frame->type == PMSM_MSG_PING)
		return answer_ping(a, frame);
	if (frame->type != PMSM_MSG_OWNED)
		return 0;
	memcpy(&m, frame->payload, sizeof(m));
	if (!attempt_same(&a->id, m.attempt, m.generation))
		return -EPROTO;
	if (m.ownership == PMSM_OWNERSHIP_YOURS)
		*verdict = BOOT;
	else if (m.ownership == PMSM_OWNERSHIP_ANOTHER)
		*verdict = WAIT;
	return 0;
}

/* Asks until there is an answer, or the link ends. */
static enum boot_verdict ask(struct asking *a)
{
	enum boot_verdict verdict = ASK;
	int error = 0;

	while (!error && verdict == ASK) {
		uint64_t deadline = clock_deadline_ms(ASK_INTERVAL_MS);

		error = say(a, PMSM_MSG_CLAIM, &a->id);
		while (!error && verdict == ASK && clock_left_ms(deadline) > 0) {
			struct pollfd p = {.fd = a->control.fd, .events = POLLIN};
			struct frame frame;
			int result;

			poll(&p, 1, clock_left_ms(deadline));
			while (!error && (result = link_next(&a->control, &frame)) != 0)
				error = result < 0 ? result : take_frame(a, &frame, &verdict);
		}
	}
	return verdict;
}

static enum boot_verdict ask_until_decided(const struct machine_settings *settings,
					   const struct ownership *ownership)
{
	struct asking *a = &asking;
	enum boot_verdict verdict = ASK;
	int said = 0;

	a->settings = settings;
	a->id = ownership->id;
	a->control.fd = a->route.fd = -1;
	a->orchestrator =
	    settings->orchestrator.port ? settings->orchestrator : ownership->orchestrator;
	log_text(
	    "boot guard: asking the orchestrator until it is decided who owns the disk. By hand, "
	    "if no other machine runs: boot this one once with pmsm.take");
	while (verdict == ASK) {
		int error = a->route.fd >= 0 ? 0 : rtnl_open(&a->route);

		if (!error)
			error = introduce(a);
		if (error && error != said)
			log_text("boot guard: the orchestrator cannot be reached: %s; trying on",
				 strerror(-error));
		said = error;
		if (!error)
			verdict = ask(a);
		link_close(&a->control);
		if (verdict == ASK)
			clock_sleep_ms(ASK_INTERVAL_MS);
	}
	log_text("boot guard: by the orchestrator's records %s",
		 verdict == BOOT ? "this machine owns the disk" : "another machine owns the disk");
	return verdict;
}

enum boot_verdict boot_guard(const struct machine_settings *settings)
{
	struct ownership ownership = {0};
	enum boot_verdict verdict;

	if (settings->record[0] == '\0') {
		log_text("boot guard: pmsm.record is empty");
		return WAIT;
	}
	verdict = boot_verdict(find_and_read(settings->record, &ownership), &ownership,
			       settings->machine);
	return verdict == ASK ? ask_until_decided(settings, &ownership) : verdict;
}
