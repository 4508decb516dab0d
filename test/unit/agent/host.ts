/** A machine made of files: a root directory with a /proc of its own, and a helper that is a script. */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Surroundings } from '../../../agent/source/surroundings.ts';

export const FACTS = {
  version: 1,
  kernel: { release: '6.12.0', version: '#1', patched: null },
  memory: {
    total_bytes: 1000 * 1024 * 1024,
    present_pages: 256_000,
    map: [],
    map_digest: 'abcd',
    available_bytes: 800 * 1024 * 1024,
    used_bytes: 200 * 1024 * 1024,
  },
  cpu: { name: 'A CPU', model: 1, family: 6, stepping: 1, flags: ['sse'], count: 1 },
  pci: [],
  network: [],
  migration: { interface: 'eth1', address: '10.0.1.1', prefix: 24, mac: '52:54:00:00:01:01' },
  hibernation: { available: true, reason: null },
  quarantine: { available: true },
};

/** A host on which nothing is wrong. */
export const GOOD: Record<string, string> = {
  'sys/power/disk': '[platform] shutdown reboot suspend test_resume\n',
  'sys/kernel/security/lockdown': '[none] integrity confidentiality\n',
  'proc/cmdline': 'root=/dev/sda1 quiet\n',
  'proc/uptime': '123.45 100.00\n',
  'dev/snapshot': '',
  'proc/self/mountinfo': [
    '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro',
    '23 22 0:5 / /proc rw,nosuid - proc proc rw',
    '24 22 0:22 / /run rw,nosuid - tmpfs tmpfs rw,size=10k',
    '25 22 7:0 / /srv/nested rw - xfs /dev/loop0 rw',
    '26 22 8:2 / /boot/with\\040space ro,relatime - vfat /dev/sda2 rw',
    '',
  ].join('\n'),
  'proc/1/stat': '1 (init) S 0 1 1 0 -1 4194560 1 2 3 4',
  'proc/1/comm': 'init\n',
};

export interface HostFiles {
  enrolled?: boolean;
  files?: Record<string, string | undefined>;
  links?: Record<string, string>;
  facts?: object;
  /** Body of the shell script that stands for `pmsm-freeze run`. */
  run?: string;
  recover?: string;
}

export function makeHost(directory: string, host: HostFiles = {}): Surroundings {
  const root = join(directory, 'root');
  for (const [path, text] of Object.entries({ ...GOOD, ...host.files })) {
    if (text !== undefined) writeAt(join(root, path), text);
  }
  for (const [path, target] of Object.entries(host.links ?? {})) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    symlinkSync(target, join(root, path));
  }
  const helper = join(directory, 'pmsm-freeze');
  writeAt(join(directory, 'facts.json'), JSON.stringify(host.facts ?? FACTS));
  const script = `#!/bin/sh
cd '${directory}'
echo "$@" >>calls
case $1 in
facts) cat facts.json ;;
recover) ${host.recover ?? ':'} ;;
run) ${host.run ?? ':'} ;;
esac
`;
  writeAt(helper, script);
  chmodSync(helper, 0o755);
  return { root, helper, enrolled: host.enrolled ?? true };
}

function writeAt(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
