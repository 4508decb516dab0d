// SPDX-License-Identifier: GPL-2.0-only
#include "common/cmdline.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static void take_word(struct machine_settings *s, const char *word)
{
	if (strncmp(word, "pmsm.machine=", 13) == 0)
		copy_text(s->machine, sizeof(s->machine), word + 13);
	else if (strncmp(word, "pmsm.interface=", 15) == 0)
		copy_text(s->interface, sizeof(s->interface), word + 15);
	else if (strncmp(word, "pmsm.address=", 13) == 0) {
		if (!ipv4_network_parse(&s->address, word + 13))
			s->address = (struct ipv4_network){0};
	} else if (strncmp(word, "pmsm.orchestrator=", 18) == 0) {
		if (!endpoint_parse(&s->orchestrator, word + 18))
			s->orchestrator = (struct endpoint){0};
	} else if (strncmp(word, "pmsm.record=", 12) == 0)
		copy_text(s->record, sizeof(s->record), word + 12);
	else if (strcmp(word, "pmsm.standby") == 0)
		s->standby = true;
	else if (strcmp(word, "pmsm.single-nic") == 0)
		s->single_nic = true;
}

void cmdline_parse(struct machine_settings *settings, const char *cmdline)
{
	char word[256];

	*settings = (struct machine_settings){0};
	while (*cmdline) {
		size_t n = strcspn(cmdline, " \t\n");

		if (n > 0 && n < sizeof(word)) {
			memcpy(word, cmdline, n);
			word[n] = '\0';
			take_word(settings, word);
		}
		cmdline += n;
		cmdline += strspn(cmdline, " \t\n");
	}
}

int cmdline_read(struct machine_settings *settings)
{
	char text[4096];
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	cmdline_parse(settings, "");
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	text[n] = '\0';
	cmdline_parse(settings, text);
	return 0;
}

const char *migration_device(const struct machine_settings *settings)
{
	return settings->single_nic ? SINGLE_NIC_NAME : settings->interface;
}

/* A MAC of the physical machine's own that does not travel: the NIC's, marked as local. */
static void derive_mac(uint8_t *mac, const struct netdev *nic)
{
	static const uint8_t none[MAC_BYTES];
	bool has_permanent = memcmp(nic->permanent_mac, none, MAC_BYTES) != 0;

	memcpy(mac, has_permanent ? nic->permanent_mac : nic->mac, MAC_BYTES);
	mac[0] = (uint8_t)((mac[0] | 0x02) & 0xfe);
	mac[3] ^= 0x70;
}

static void write_conf(const char *device, const char *name, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%.15s/%s", device, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, value, strlen(value));
	close(fd);
}

/*
 * Two devices with one wire: each answers for its own addresses only. Else the NIC answers for the
 * migration address with its service MAC, which the quarantine does not let through.
 */
static void separate_arp(const char *device)
{
	write_conf(device, "arp_ignore", "1");
	write_conf(device, "arp_announce", "2");
}

static int make_single_nic(struct netlink *route, struct netdevs *devices, const char *nic_name)
{
	const struct netdev *nic = netdev_by_name(devices, nic_name);
	uint8_t mac[MAC_BYTES];
	int error;

	if (!nic)
		return -ENODEV;
	error = rtnl_set_up(route, nic->index, true);
	if (error)
		return error;
	derive_mac(mac, nic);
	error = rtnl_macvlan_create(route, SINGLE_NIC_NAME, nic->index, mac);
	return error && error != -EEXIST ? error : rtnl_netdevs(route, devices);
}

int migration_device_up(const struct machine_settings *settings, struct netlink *route,
			struct netdevs *devices)
{
	const struct netdev *device;
	int error = rtnl_netdevs(route, devices);

	if (error)
		return error;
	if (settings->single_nic && !netdev_by_name(devices, SINGLE_NIC_NAME)) {
		error = make_single_nic(route, devices, settings->interface);
		if (error)
			return error;
	}
	if (settings->single_nic) {
		separate_arp(settings->interface);
		separate_arp(SINGLE_NIC_NAME);
	}
	device = netdev_by_name(devices, migration_device(settings));
	if (!device)
		return -ENODEV;
	error = rtnl_set_up(route, device->index, true);
	if (error)
		return error;
	return rtnl_address_add(route, device->index, &settings->address);
}
