// SPDX-License-Identifier: GPL-2.0-only
#include "common/ethtool.h"

#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int command(const char *interface, struct ethtool_value *value)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {0};
	int result;

	if (fd < 0)
		return -1;
	copy_text(request.ifr_name, sizeof(request.ifr_name), interface);
	request.ifr_data = (void *)value;
	result = ioctl(fd, SIOCETHTOOL, &request);
	close(fd);
	return result;
}

bool ethtool_has_link(const char *interface)
{
	struct ethtool_value value = {.cmd = ETHTOOL_GLINK};

	return command(interface, &value) < 0 || value.data != 0;
}

int ethtool_renew_stale(const struct netdevs *netdevs)
{
	int count = 0;

	for (size_t i = 0; i < netdevs->count; i++) {
		const struct netdev *device = &netdevs->devices[i];
		struct ethtool_value value = {.cmd = ETHTOOL_NWAY_RST};

		if ((device->flags & IFF_UP) && netdev_driver_is(device->name, "e1000e") &&
		    command(device->name, &value) == 0)
			count++;
	}
	return count;
}
