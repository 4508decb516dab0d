import type { Mount } from './api/schemas.ts';
import { type Surroundings, textOf } from './surroundings.ts';

const MOUNTS_MAX = 4096;

/** Block file systems whose kernel code can hold all writes (`freeze_fs` or `freeze_super`). */
const FREEZABLE: ReadonlySet<string> = new Set([
  'bcachefs',
  'btrfs',
  'ext2',
  'ext3',
  'ext4',
  'f2fs',
  'gfs2',
  'jfs',
  'nilfs2',
  'ocfs2',
  'reiserfs',
  'xfs',
]);

/** Everything that is mounted, each file system once for every place. */
export async function readMounts(surroundings: Surroundings): Promise<Mount[]> {
  const text = (await textOf(surroundings, 'proc/self/mountinfo')) ?? '';
  return text
    .split('\n')
    .map(parseMount)
    .filter((mount) => mount !== undefined)
    .slice(0, MOUNTS_MAX);
}

/** A line of proc_pid_mountinfo(5): mount options stand before ` - `, those of the whole behind. */
function parseMount(line: string): Mount | undefined {
  const [own, whole] = line.split(' - ', 2);
  const target = own?.split(' ')[4];
  const mountOptions = own?.split(' ')[5] ?? '';
  const [type, source, options = ''] = whole?.split(' ') ?? [];
  if (target === undefined || type === undefined || source === undefined) return undefined;
  const writable = !isReadOnly(options) && !isReadOnly(mountOptions);
  const freezable = FREEZABLE.has(type);
  return {
    source: unescapeOctal(source),
    target: unescapeOctal(target),
    type,
    writable,
    freezable,
  };
}

export interface WritableDevice {
  /** Major and minor number, as sysfs writes them. */
  readonly number: string;
  /** Where it is mounted. */
  readonly use: string;
}

/** What file systems that can be written to lie on; those without a block device have numbers, too. */
export async function readWritableDevices(surroundings: Surroundings): Promise<WritableDevice[]> {
  const text = (await textOf(surroundings, 'proc/self/mountinfo')) ?? '';
  return text
    .split('\n')
    .slice(0, MOUNTS_MAX)
    .map((line) => ({ number: line.split(' ')[2] ?? '', mount: parseMount(line) }))
    .filter(({ mount }) => mount?.writable && isOnBlockDevice(mount))
    .map(({ number, mount }) => ({ number, use: mount?.target ?? '' }));
}

function isReadOnly(options: string): boolean {
  return options.split(',').includes('ro');
}

/** Spaces and the like stand as three octal digits. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

export function isOnBlockDevice({ source }: Mount): boolean {
  return source.startsWith('/dev/');
}
