// SPDX-License-Identifier: GPL-2.0-only
/* pmsm-restore: the target half, in the initramfs of a standby. See target/standby.h. */
#include <errno.h>
#include <getopt.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/facts.h"
#include "common/facts_lists.h"
#include "common/log.h"
#include "common/owner.h"
#include "target/boot-guard.h"
#include "target/devices.h"
#include "target/standby.h"

#define MIN_FREE_LOW_KB	 4096
#define MIN_FREE_HIGH_KB 65536
#define MIN_FREE_SHARE	 128
#define REHEARSALS_MAX	 3
#define EXIT_WAIT	 10
#define CONSOLE_WARNINGS 5 /* what is below it is said: up to KERN_WARNING */

static struct standby standby;

static void usage(void)
{
	fputs("usage: pmsm-restore standby [--interface IF] [--address A.B.C.D/LEN]\n"
	      "           [--orchestrator IP:PORT] [--machine NAME] [--stream-port 7072]\n"
	      "           [--single-nic]    what is not given comes from pmsm.* in /proc/cmdline\n"
	      "       pmsm-restore boot-guard   exit 0: this machine may boot from the disk; 10: "
	      "it waits\n"
	      "       pmsm-restore owner [--record WHERE] [--take NAME]\n"
	      "       pmsm-restore facts [--probe]\n",
	      stderr);
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return;
	fputs(text, f);
	fclose(f);
}

/*
 * While the image is loaded nearly all memory is taken by it. The kernel must keep enough for the
 * network, and not so much that it takes the receiver for the one to kill: transparent huge pages
 * raise the reserve to 44 MiB on a machine of 1 GiB.
 */
static void settle_memory(void)
{
	uint64_t kb = facts_own_bytes() / 1024 / MIN_FREE_SHARE;
	char text[32];

	if (kb < MIN_FREE_LOW_KB)
		kb = MIN_FREE_LOW_KB;
	if (kb > MIN_FREE_HIGH_KB)
		kb = MIN_FREE_HIGH_KB;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)kb);
	write_text("/proc/sys/vm/min_free_kbytes", text);
	write_text("/proc/self/oom_score_adj", "-1000");
	mlockall(MCL_CURRENT | MCL_FUTURE);
}

/*
 * A disk with a write cache is flushed when it is quiesced for the jump: 20 ms and more of the
 * window, to write down what this machine has never written. `temporary` changes what the kernel
 * believes, and nothing in the disk.
 */
static void settle_disks(void)
{
	glob_t found;

	if (glob("/sys/class/scsi_disk/*/cache_type", 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		write_text(found.gl_pathv[i], "temporary write through");
	globfree(&found);
}

/*
 * To stop a device, a driver waits until nobody looks at what it takes away any more: for RCU's
 * grace periods, one after the other; freezing a SCSI disk alone waits for two. Each takes a few
 * ticks even if every processor is idle, since that is how long RCU waits before it looks around.
 * The kernel expedites those of synchronize_rcu() when it makes an image, but not while it loads
 * one, and those that are waited for with a callback never: for these RCU looks around at once. It
 * costs processor time, which nobody else wants here. Stopping the devices (a SATA disk, one
 * emulated CPU, 250 Hz) took 64 ms, and takes 25 ms.
 */
static void settle_grace_periods(void)
{
	write_text("/sys/kernel/rcu_expedited", "1");
	write_text("/sys/module/rcutree/parameters/jiffies_till_first_fqs", "0");
}

/*
 * What the kernel says on the way to the jump (the console is stopped, the image is loaded) goes
 * out on a serial line first: 6 ms for a line of 70 characters. Warnings stay.
 */
static void settle_console(void)
{
	char text[64];

	if (facts_read_file("/proc/sys/kernel/printk", text, sizeof(text)) &&
	    atoi(text) > CONSOLE_WARNINGS)
		write_text("/proc/sys/kernel/printk", "5");
}

static bool take_options(struct standby *s, int argc, char **argv)
{
	static const struct option options[] = {
	    {"interface", required_argument, NULL, 'i'},
	    {"address", required_argument, NULL, 'a'},
	    {"orchestrator", required_argument, NULL, 'o'},
	    {"machine", required_argument, NULL, 'm'},
	    {"stream-port", required_argument, NULL, 'p'},
	    {"single-nic", no_argument, NULL, 's'},
	    {NULL, 0, NULL, 0},
	};
	struct machine_settings *m = &s->settings;
	bool ok = true;
	int id;

	while (ok && (id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (id == 'i')
			copy_text(m->interface, sizeof(m->interface), optarg);
		else if (id == 'm')
			copy_text(m->machine, sizeof(m->machine), optarg);
		else if (id == 's')
			m->single_nic = true;
		else if (id == 'a')
			ok = ipv4_network_parse(&m->address, optarg);
		else if (id == 'o')
			ok = endpoint_parse(&m->orchestrator, optarg);
		else if (id == 'p')
			ok = (s->stream_port = (uint16_t)atoi(optarg)) != 0;
		else
			ok = false;
	}
	return ok && optind == argc && m->interface[0] && m->address.prefix && m->orchestrator.port;
}

static int run_standby(int argc, char **argv)
{
	struct standby *s = &standby;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int error;

	s->stream_port = STREAM_PORT;
	s->control.fd = s->stream.fd = s->listen_fd = s->route.fd = -1;
	s->snapshot = (struct snapshot_device){.ops = &snapshot_kernel, .fd = -1};
	cmdline_read(&s->settings);
	if (!take_options(s, argc, argv)) {
		usage();
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	fault_read(&s->fault);
	clock_calibrate_begin();
	error = rtnl_open(&s->route);
	if (!error)
		error = migration_device_up(&s->settings, &s->route, &s->devices);
	if (error) {
		log_text("migration interface %s: %s", migration_device(&s->settings),
			 strerror(-error));
		return 1;
	}
	error = loader_init(&s->loader, cpus < 1 ? 1 : (unsigned int)cpus);
	if (error) {
		log_text("cannot prepare: %s", strerror(-error));
		return 1;
	}
	/* One that was here before us may have died in an attempt. */
	devices_take_back_disks(DEVICES_ROOT, DEVICES_PROBE);
	devices_silence(DEVICES_ROOT);
	settle_memory();
	settle_disks();
	settle_grace_periods();
	settle_console();
	/* A device may be busy just now: that says nothing of the jump. */
	for (int tries = 0; tries < REHEARSALS_MAX; tries++) {
		s->rehearsal = rehearse(&s->snapshot);
		if (s->rehearsal != REHEARSAL_FAILED)
			break;
	}
	/* The monotonic clock stood still in it, and the counter of cycles did not. */
	clock_calibrate_begin();
	if (!rehearse_network(migration_device(&s->settings)))
		s->rehearsal = REHEARSAL_FAILED;
	standby_run(s);
	return 1;
}

static int run_boot_guard(void)
{
	static struct machine_settings settings;

	signal(SIGPIPE, SIG_IGN);
	if (cmdline_read(&settings))
		return EXIT_WAIT;
	return boot_guard(&settings) == BOOT ? 0 : EXIT_WAIT;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	log_start("pmsm-restore");
	if (strcmp(command, "standby") == 0)
		return run_standby(argc - 1, argv + 1);
	if (strcmp(command, "boot-guard") == 0 && argc == 2)
		return run_boot_guard();
	if (strcmp(command, "owner") == 0)
		return owner_command(argc - 1, argv + 1, false);
	if (strcmp(command, "facts") == 0)
		return facts_print(argc == 3 && strcmp(argv[2], "--probe") == 0);
	if (strcmp(command, "--version") == 0) {
		puts(HELPER_VERSION);
		return 0;
	}
	usage();
	return 2;
}
