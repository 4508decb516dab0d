# Runs while the root file system is made, with its path in $1: initialises what would otherwise make every boot
# longer, and switches off what a machine of the lab does not need.
set -eu
root=$1

in_root() {
	chroot "$root" "$@"
}

start_database() {
	in_root install -d -o mysql -g mysql /run/mysqld
	in_root "$server" --user=mysql --skip-networking --socket=/run/mysqld/mysqld.sock &
	server_pid=$!
	tries=0
	until in_root "$admin" --socket=/run/mysqld/mysqld.sock ping >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ "$tries" -lt 300 ] || {
			echo "the database did not start" >&2
			exit 1
		}
		sleep 0.2
	done
}

# The server's first start makes its keys and files; done here, no boot has to.
initialise_database() {
	start_database
	in_root "$client" --socket=/run/mysqld/mysqld.sock <<'SQL'
CREATE DATABASE pmsm;
CREATE USER 'pmsm'@'%' IDENTIFIED BY 'pmsm';
GRANT ALL PRIVILEGES ON pmsm.* TO 'pmsm'@'%';
SQL
	in_root "$admin" --socket=/run/mysqld/mysqld.sock shutdown
	wait "$server_pid"
	rm -rf "$root/run/mysqld"
}

if [ -x "$root/usr/sbin/mariadbd" ]; then
	server=mariadbd client=mariadb admin=mariadb-admin
	sed -i 's/^bind-address.*/bind-address = */' "$root/etc/mysql/mariadb.conf.d/50-server.cnf"
else
	server=mysqld client=mysql admin=mysqladmin
	sed -i 's/^bind-address.*/bind-address = */; s/^mysqlx-bind-address.*/mysqlx = OFF/' \
		"$root/etc/mysql/mysql.conf.d/mysqld.cnf"
fi
initialise_database

echo pmsm-host >"$root/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost\n10.0.0.1 pmsm-host\n' >"$root/etc/hosts"
: >"$root/etc/fstab"
rm -f "$root"/etc/ssh/ssh_host_*
in_root systemd-machine-id-setup
in_root passwd -d root

# Each of these costs seconds of an emulated boot and does nothing for a machine that lives for minutes.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
	e2scrub_reap.service fstrim.timer logrotate.timer systemd-tmpfiles-clean.timer \
	getty@tty1.service getty-static.service systemd-hwdb-update.service ldconfig.service \
	systemd-journal-catalog-update.service systemd-update-done.service systemd-pcrphase.service \
	systemd-pcrphase-sysinit.service systemd-tpm2-setup.service systemd-tpm2-setup-early.service \
	systemd-random-seed.service systemd-boot-random-seed.service systemd-update-utmp.service \
	systemd-binfmt.service dev-hugepages.mount sys-kernel-tracing.mount \
	sys-fs-fuse-connections.mount systemd-firstboot.service systemd-sysusers.service \
	systemd-logind.service systemd-hostnamed.socket systemd-hibernate-clear.service \
	sys-kernel-config.mount systemd-networkd-wait-online.service systemd-networkd.service \
	sshd-unix-local.socket ssh.socket systemd-udev-load-credentials.service \
	systemd-modules-load.service systemd-remount-fs.service dev-mqueue.mount \
	modprobe@efi_pstore.service systemd-pstore.service systemd-journal-flush.service \
	systemd-journalctl.socket systemd-tmpfiles-setup-dev-early.service \
	systemd-tmpfiles-setup-dev.service kmod-static-nodes.service; do
	ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"

# Nobody reads these there; they would be copied for every lab.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*.log \
	"$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/usr/share/info/*
# Newer than everything below /usr, so that systemd takes the system for already updated.
touch "$root/etc/.updated" "$root/var/.updated"
