# shellcheck shell=sh
# What a standby does in early boot; sourced by the lab's /init and by the initramfs-tools script.
# It never mounts anything: the file systems belong to the machine that will arrive.

# The value of NAME=VALUE on the kernel command line, empty if it is not there.
pmsm_value() {
	pmsm_words=$(cat /proc/cmdline)
	for pmsm_word in $pmsm_words; do
		case $pmsm_word in
		"$1"=*) echo "${pmsm_word#*=}" ;;
		esac
	done
}

# Whether a word, or WORD=anything, is on the kernel command line.
pmsm_has() {
	pmsm_words=$(cat /proc/cmdline)
	for pmsm_word in $pmsm_words; do
		case $pmsm_word in
		"$1" | "$1"=*) return 0 ;;
		esac
	done
	return 1
}

# modprobe, quietly, where there are modules at all: a driver may be built in, or be none of ours.
pmsm_load() {
	[ ! -d /lib/modules ] || modprobe -q "$1" || true
}

# Loads the drivers of the PCI devices of one class: 0x02 network, 0x01 storage. Built-in ones need nothing.
pmsm_drivers() {
	for pmsm_device in /sys/bus/pci/devices/*; do
		case $(cat "$pmsm_device/class") in
		"$1"*) pmsm_load "$(cat "$pmsm_device/modalias")" ;;
		esac
	done
	# A virtio device shows a second bus; its driver goes by the address on that one.
	for pmsm_device in /sys/bus/virtio/devices/*; do
		[ -e "$pmsm_device/modalias" ] || continue
		pmsm_load "$(cat "$pmsm_device/modalias")"
	done
}

# Waits until a network interface is there; 30 s, which is long for a driver and short for a person.
pmsm_wait_interface() {
	pmsm_tries=0
	until [ -e "/sys/class/net/$1" ]; do
		pmsm_tries=$((pmsm_tries + 1))
		if [ "$pmsm_tries" -gt 300 ]; then
			echo "pmsm: there is no network interface $1"
			return 1
		fi
		sleep 0.1
	done
}

# What the migration interface needs of the kernel.
pmsm_network_drivers() {
	# An address is answered for by its own MAC only, also when two interfaces share a NIC.
	echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
	echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce
	pmsm_drivers 0x02
	if pmsm_has pmsm.single-nic; then
		pmsm_load macvlan
	fi
}

# Makes sure that the migration interface can be set up, which pmsm-restore then does.
pmsm_network() {
	pmsm_network_drivers
	pmsm_wait_interface "$(pmsm_value pmsm.interface)"
}

# Whether this machine may boot from its disk: one that takes part in migrations only if the disk is its own
# (agent/native/target/boot-guard.h), and anything but a clear yes is a no.
pmsm_may_boot() {
	if ! pmsm_has pmsm.record; then
		! pmsm_has pmsm.standby
		return
	fi
	pmsm_drivers 0x01
	# A controller's disks show up later than it does; the driver of those that speak SCSI takes them as they come.
	pmsm_load sd_mod
	# For a machine that has to ask. One that is the owner needs no network for that.
	pmsm_network_drivers
	# A person is certain that no other machine runs.
	if pmsm_has pmsm.take; then
		until pmsm-restore owner --take "$(pmsm_value pmsm.machine)"; do
			sleep 1
		done
	fi
	pmsm-restore boot-guard || return 1
	while pmsm_has hibernate_loader; do
		echo "pmsm: this machine owns the disk, but has the memory of a standby: boot it without hibernate_loader="
		sleep 60
	done
}

# Waits for a machine, for ever: whatever ends the program, it is started again after a pause.
pmsm_standby() {
	echo "pmsm: standby $(pmsm_value pmsm.machine)"
	until pmsm_network; do
		sleep 5
	done
	while :; do
		pmsm-restore standby
		echo "pmsm: pmsm-restore ended with $?, it is started again"
		sleep 1
	done
}
