// SPDX-License-Identifier: GPL-2.0-only
#include "target/rehearse.h"

#include <errno.h>

#include "common/log.h"
#include "common/quarantine.h"
#include "common/sockets.h"

/* Of the block for documentation (RFC 5737). */
#define NOBODYS_ADDRESS "192.0.2.1/32"

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

/* Only the MAC is the device's own affair; the address may be left from a try that was cut short.
 */
static bool move_in(struct quarantine *quarantine, const struct netdev *device)
{
	struct netlink *route = &quarantine->route;
	struct ipv4_network nobody;
	int error = rtnl_take_mac(route, device->index, device->mac);

	if (error)
		log_text("%s does not take a MAC: %s", device->name, strerror(-error));
	ipv4_network_parse(&nobody, NOBODYS_ADDRESS);
	rtnl_address_add(route, device->index, &nobody);
	rtnl_address_delete(route, device->index, &nobody);
	return error == 0;
}

/* None has this address. That the kernel was asked is enough. */
static void end_connections(void)
{
	struct ipv4_network nobody;
	struct netlink diag = {.fd = -1};

	ipv4_network_parse(&nobody, NOBODYS_ADDRESS);
	if (diag_open(&diag) == 0)
		destroy_connections(&diag, nobody.address);
	netlink_close(&diag);
}

bool rehearse_network(const char *interface)
{
	static struct quarantine quarantine; /* lists of devices: too large for the stack */
	const struct netdev *device;
	int error = quarantine_prepare(&quarantine, interface);
	bool fit = true;

	if (!error)
		error = rtnl_netdevs(&quarantine.route, &quarantine.devices);
	device = netdev_by_name(&quarantine.devices, interface);
	if (!error && !device)
		error = -ENODEV;
	if (!error)
		error = quarantine_install(&quarantine, device->mac);
	if (!error)
		error = quarantine_close(&quarantine);
	if (!error) {
		fit = move_in(&quarantine, device);
		end_connections();
		error = quarantine_open(&quarantine, device->mac);
	}
	/* Whatever became of it: a standby that is cut off is none. */
	if (quarantine.nft.fd >= 0)
		quarantine_remove(&quarantine, NULL);
	quarantine_destroy(&quarantine);
	if (error)
		log_text("the network was not rehearsed: %s", strerror(-error));
	return fit;
}
