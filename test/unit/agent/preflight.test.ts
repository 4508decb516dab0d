/** Each probe against a machine on which one thing is wrong. */
import t from 'tap';
import { preflight } from '../../../agent/source/preflight/preflight.ts';
import { activeTargets } from '../../../agent/source/preflight/raw-writers.ts';
import { FACTS, GOOD, type HostFiles, makeHost } from './host.ts';

t.jobs = 4;

t.test('a good machine', async (t) => {
  const { findings } = await preflight(makeHost(t.testdir()));
  const bad = findings.filter(({ severity }) => severity !== 'ok');
  t.strictSame(bad, []);
  t.equal(findings.length, 12, 'every probe has answered');
});

const mount = (line: string) => ({
  'proc/self/mountinfo': `${GOOD['proc/self/mountinfo']}${line}\n`,
});
const MIB = 1024 * 1024;
const used = (mib: number) => ({ ...FACTS, memory: { ...FACTS.memory, used_bytes: mib * MIB } });

const CASES: Array<
  [name: string, host: HostFiles, code: string, found: RegExp, severity?: string]
> = [
  [
    'hibernation disabled',
    { files: { 'sys/power/disk': '[disabled]\n' } },
    'hibernation-unavailable',
    /says disabled/,
  ],
  [
    'no hibernation in the kernel',
    { files: { 'sys/power/disk': undefined } },
    'hibernation-unavailable',
    /no \/sys\/power\/disk/,
  ],
  [
    'lockdown',
    { files: { 'sys/kernel/security/lockdown': 'none [integrity] confidentiality\n' } },
    'hibernation-unavailable',
    /integrity mode/,
  ],
  [
    'nohibernate',
    { files: { 'proc/cmdline': 'quiet nohibernate\n' } },
    'hibernation-unavailable',
    /nohibernate/,
  ],
  [
    'no snapshot device',
    { files: { 'dev/snapshot': undefined } },
    'hibernation-unavailable',
    /\/dev\/snapshot/,
  ],
  [
    'the helper says no',
    { facts: { ...FACTS, hibernation: { available: false, reason: 'secret memory' } } },
    'hibernation-unavailable',
    /secret memory/,
  ],
  [
    'a crash kernel',
    { files: { 'sys/kernel/kexec_crash_loaded': '1\n' } },
    'crash-kernel-loaded',
    /says 1/,
  ],
  [
    'a watchdog that waits for less than a snapshot may take',
    {
      files: {
        'sys/class/watchdog/watchdog0/state': 'active\n',
        'sys/class/watchdog/watchdog0/timeout': '8\n',
      },
    },
    'watchdog-armed',
    /watchdog0, 8 s/,
    'warn',
  ],
  [
    'an array that keeps a mark of being clean',
    { files: { 'sys/block/md0/md/level': 'raid1\n', 'sys/block/md0/md/array_state': 'active\n' } },
    'raw-writer',
    /md0 \(MD raid1, active\)/,
  ],
  [
    'a cache below the file system',
    { files: { 'sys/block/bcache0/size': '8\n' } },
    'raw-writer',
    /bcache0/,
  ],
  [
    'a device mapper of which nothing is known',
    { files: { 'sys/block/dm-0/dm/name': 'data\n' } },
    'raw-writer',
    /device mapper/,
  ],
  [
    'a pool of zfs of which nothing is mounted',
    { files: { 'proc/spl/kstat/zfs/tank/state': 'ONLINE\n' } },
    'raw-writer',
    /tank \(zfs\)/,
  ],
  ['a volume of zfs', { files: { 'sys/block/zd0/size': '8\n' } }, 'raw-writer', /zd0 \(zfs\)/],
  [
    'a watchdog on a machine that boots from its disk whoever owns it',
    {
      enrolled: false,
      files: {
        'sys/class/watchdog/watchdog0/state': 'active\n',
        'sys/class/watchdog/watchdog0/timeout': '30\n',
      },
    },
    'watchdog-armed',
    /watchdog0, 30 s/,
    'warn',
  ],
  ['zfs', { files: mount('40 22 0:50 / /tank rw - zfs tank rw') }, 'raw-writer', /tank \(zfs\)/],
  [
    'a database on a raw device',
    {
      facts: { ...FACTS, kernel: { ...FACTS.kernel, patched: true } },
      files: {
        'sys/class/block/sdb1': '',
        'proc/7/comm': 'oracle\n',
        'proc/7/fdinfo/5': 'pos:\t0\nflags:\t0140002\n',
      },
      links: { 'proc/7/fd/5': '/dev/sdb1' },
    },
    'raw-writer',
    /\/dev\/sdb1 by oracle \(7\)/,
    'warn',
  ],
  [
    'somebody who writes to a disk in a file',
    {
      facts: { ...FACTS, kernel: { ...FACTS.kernel, patched: true } },
      files: {
        'sys/class/block/loop7': '',
        'proc/7/comm': 'mkfs\n',
        'proc/7/fdinfo/5': 'pos:\t0\nflags:\t0100002\n',
      },
      links: { 'proc/7/fd/5': '/dev/loop7' },
    },
    'raw-writer',
    /\/dev\/loop7 by mkfs \(7\)/,
  ],
  [
    'the same with a kernel that cannot hold the machine',
    {
      files: {
        'sys/class/block/sdb1': '',
        'proc/7/comm': 'oracle\n',
        'proc/7/fdinfo/5': 'pos:\t0\nflags:\t0140002\n',
      },
      links: { 'proc/7/fd/5': '/dev/sdb1' },
    },
    'raw-writer',
    /\/dev\/sdb1 by oracle \(7\)/,
  ],
  ['too much memory in use', { facts: used(600) }, 'memory-too-full', /600 of 1000 MiB/],
  ['nearly too much', { facts: used(540) }, 'memory-too-full', /540 of 1000 MiB/, 'warn'],
  [
    'a task that hangs',
    { files: { 'proc/77/stat': '77 (a (b) c) D 1 1 1 0 -1 0 1 2' } },
    'would-not-freeze',
    /a \(b\) c \(77\)/,
  ],
  [
    'a FUSE mount',
    { files: mount('30 22 0:40 / /mnt/f rw - fuse.sshfs host: rw') },
    'would-not-freeze',
    /\/mnt\/f \(fuse\.sshfs\)/,
  ],
  [
    'an NFS mount',
    { files: mount('30 22 0:40 / /mnt/n rw - nfs4 server:/x rw') },
    'would-not-freeze',
    /\/mnt\/n \(nfs4\)/,
  ],
  [
    'a disk over software iSCSI',
    {
      files: mount('30 22 8:17 / /srv rw - ext4 /dev/sdb1 rw'),
      links: {
        'sys/dev/block/8:17':
          '../../devices/platform/host3/session1/target3:0:0/3:0:0:1/block/sdb/sdb1',
      },
    },
    'would-not-freeze',
    /\/srv: iSCSI over TCP/,
  ],
  [
    'LVM on a network block device',
    {
      files: {
        ...mount('30 22 254:0 / /srv rw - xfs /dev/mapper/v rw'),
        'sys/dev/block/254:0/slaves/nbd3': '',
      },
      links: { 'sys/class/block/nbd3': '../../devices/virtual/block/nbd3' },
    },
    'would-not-freeze',
    /\/srv: a network block device \(nbd\)/,
  ],
  [
    'swap on NVMe over TCP',
    {
      files: {
        'proc/swaps': 'Filename Type Size Used Priority\n/dev/nvme1n1 partition 8 0 -2\n',
        'sys/class/nvme/nvme1/transport': 'tcp\n',
      },
      links: {
        'sys/class/block/nvme1n1': '../../devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1',
      },
    },
    'would-not-freeze',
    /swap on \/dev\/nvme1n1: NVMe over TCP/,
  ],
  [
    'a writable vfat',
    { files: mount('30 22 8:3 / /boot/efi rw - vfat /dev/sda3 rw') },
    'filesystem-not-freezable',
    /\/boot\/efi \(vfat\)/,
  ],
  [
    'a KVM guest',
    { files: { 'proc/88/comm': 'qemu\n' }, links: { 'proc/88/fd/9': 'anon_inode:kvm-vm' } },
    'would-not-freeze',
    /qemu \(88\) runs a KVM guest/,
  ],
  [
    'a device of user space',
    { files: { 'proc/88/comm': 'dpdk\n' }, links: { 'proc/88/fd/9': '/dev/vfio/12' } },
    'would-not-freeze',
    /dpdk \(88\) holds a device through VFIO/,
  ],
  [
    'no nftables',
    { facts: { ...FACTS, quarantine: { available: false, reason: 'Operation not supported' } } },
    'quarantine-unavailable',
    /does not take its rules: Operation not supported/,
  ],
  [
    'a helper that has not tried the quarantine',
    { facts: { ...FACTS, quarantine: undefined } },
    'quarantine-unavailable',
    /nobody has tried/,
  ],
];

for (const [name, host, code, found, severity = 'refuse'] of CASES) {
  t.test(name, async (t) => {
    const directory = t.testdir();
    const files = { ...GOOD, ...host.files };
    const { findings } = await preflight(makeHost(directory, { ...host, files }));
    const bad = findings.filter((finding) => finding.severity !== 'ok');
    t.match(bad, [{ code, severity, found }]);
    t.equal(bad.length, 1, 'nothing else is wrong');
    t.ok(bad[0]?.remedy);
  });
}

t.test('what is no obstacle', async (t) => {
  const files = {
    // A kernel thread, and a task that had gone on by the second look.
    'proc/66/stat': '66 (kworker) D 2 0 0 0 -1 2097216 1 2',
    ...mount('30 22 0:41 / /sys/fs/fuse/connections rw - fusectl fusectl rw'),
  };
  const { findings } = await preflight(makeHost(t.testdir(), { files }));
  t.strictSame(
    findings.filter(({ severity }) => severity !== 'ok'),
    [],
  );
});

t.test('a helper that does not run', async (t) => {
  const surroundings = makeHost(t.testdir(), { files: GOOD });
  const { findings } = await preflight({ ...surroundings, helper: '/nonexistent/pmsm-freeze' });
  t.match(findings[0], { code: 'helper-missing', severity: 'refuse' });
});

t.test('what does not write by itself is let through', async (t) => {
  const hosts: HostFiles[] = [
    {
      files: {
        'sys/class/watchdog/watchdog0/state': 'active\n',
        'sys/class/watchdog/watchdog0/timeout': '30\n',
      },
    },
    { files: { 'sys/block/md0/md/level': 'raid0\n', 'sys/block/md0/md/array_state': 'clean\n' } },
    {
      files: { 'sys/block/md0/md/level': 'raid1\n', 'sys/block/md0/md/array_state': 'readonly\n' },
    },
    {
      files: {
        'sys/class/block/sdb1': '',
        'proc/7/comm': 'smartd\n',
        'proc/7/fdinfo/5': 'pos:\t0\nflags:\t0100000\n',
      },
      links: { 'proc/7/fd/5': '/dev/sdb1' },
    },
  ];
  for (const [index, host] of hosts.entries()) {
    const { findings } = await preflight(makeHost(t.testdir({ [index]: {} }), host));
    const bad = findings.filter(({ severity }) => severity !== 'ok');
    t.strictSame(bad, [], JSON.stringify(host));
  }
});

t.test('targets of the device mapper', async (t) => {
  const table = [
    'vg-root: 0 41943040 linear 8:3 2048',
    'secret: 0 4096 crypt aes-xts-plain64 :64:logon:x 0 8:4 0',
    'vg-pool-tpool: 0 4096 thin-pool 253:1 253:2 128 0 0',
    'vg-home: 0 4096 cache 253:5 253:6 253:7 128 1 writeback smq 0',
  ].join('\n');
  t.strictSame(activeTargets(table), [
    'vg-pool-tpool (device mapper, thin-pool)',
    'vg-home (device mapper, cache)',
  ]);
});
