import { readMounts } from '../mounts.ts';
import { linkOf, namesIn, outputOf, type Surroundings, textOf } from '../surroundings.ts';
import { listed, ok, type Probe, refuse, warn } from './finding.ts';

const WHY =
  'The disk must not change between the snapshot and the moment the target takes it over, and freezing file systems ' +
  'does not stop who writes to a disk without one.';

const WHY_IN_A_FILE =
  'What is written to a disk that lies in a file cannot be brought there once the file system of that file is frozen.';
const STOP = 'Stop them for the move.';

/** Levels of MD without anything to bring up to date: no bitmap, no mark of a clean array. */
const PASSIVE_LEVELS: ReadonlySet<string> = new Set(['raid0', 'linear']);
/** States of an array that is not written to (Documentation/admin-guide/md.rst). */
const RESTING: ReadonlySet<string> = new Set(['clear', 'inactive', 'suspended', 'readonly']);
/** Targets of the device mapper that only pass on what they are given. All others have threads or timers that write. */
const PASSIVE_TARGETS: ReadonlySet<string> = new Set([
  'linear',
  'striped',
  'crypt',
  'multipath',
  'verity',
  'unstriped',
  'switch',
  'error',
  'zero',
]);

/** Who writes to disks below, or without, a file system that can be frozen. */
export const rawWriters: Probe = async (surroundings, facts) => {
  const found = [
    ...(await arrays(surroundings)),
    ...(await mapped(surroundings)),
    ...(await caches(surroundings)),
    ...(await pools(surroundings)),
  ];
  if (found.length > 0) return [refuse('raw-writer', listed(found), WHY)];
  const raw = await openDevices(surroundings);
  if (raw.length === 0) return ok('raw-writer', 'none is known', WHY);
  const inFiles = raw.filter((text) => text.startsWith('/dev/loop'));
  if (inFiles.length > 0) return [refuse('raw-writer', listed(inFiles), WHY_IN_A_FILE, STOP)];
  // Should all helpers die after commit, a stock kernel thaws processes, and only file systems stay frozen.
  if (facts?.kernel.patched !== true) {
    return [refuse('raw-writer', listed(raw), WHY, `${STOP} This kernel has no hold.`)];
  }
  const remedy =
    'None is needed: they are frozen, and what they have written is brought to the disk before the snapshot.';
  return [warn('raw-writer', listed(raw), WHY, remedy)];
};

async function arrays(surroundings: Surroundings): Promise<string[]> {
  const found: string[] = [];
  for (const name of await namesIn(surroundings, 'sys/block')) {
    const level = await textOf(surroundings, `sys/block/${name}/md/level`);
    const state = await textOf(surroundings, `sys/block/${name}/md/array_state`);
    if (level === undefined || state === undefined) continue;
    if (PASSIVE_LEVELS.has(level.trim()) || RESTING.has(state.trim())) continue;
    found.push(`${name} (MD ${level.trim()}, ${state.trim()})`);
  }
  return found;
}

async function mapped(surroundings: Surroundings): Promise<string[]> {
  const names = await namesIn(surroundings, 'sys/block');
  if (!names.some((name) => name.startsWith('dm-'))) return [];
  const table = await outputOf('dmsetup', ['table']);
  // Without the tool nobody knows what is there; it comes with whoever sets such devices up.
  if (table === undefined) return ['device mapper (dmsetup does not say which targets)'];
  return activeTargets(table);
}

/** From `dmsetup table`: a line is `NAME: START LENGTH TARGET ...`. */
export function activeTargets(table: string): string[] {
  const found = new Set<string>();
  for (const line of table.split('\n')) {
    const [, name, target] = /^(\S+): \d+ \d+ (\S+)/.exec(line) ?? [];
    if (target !== undefined && !PASSIVE_TARGETS.has(target)) {
      found.add(`${name} (device mapper, ${target})`);
    }
  }
  return [...found];
}

/** Volumes of zfs besides: its pools write for as long as they are imported. */
async function caches(surroundings: Surroundings): Promise<string[]> {
  const names = await namesIn(surroundings, 'sys/block');
  const kinds = { bcache: /^bcache\d/, zfs: /^zd\d/ };
  return Object.entries(kinds).flatMap(([kind, pattern]) =>
    names.filter((name) => pattern.test(name)).map((name) => `${name} (${kind})`),
  );
}

/** File systems that have their disks to themselves, and no way to be frozen. */
async function pools(surroundings: Surroundings): Promise<string[]> {
  const mounts = await readMounts(surroundings);
  const zfs = mounts.filter(({ type, writable }) => type === 'zfs' && writable);
  // A directory for each pool that is imported, mounted or not.
  const places = await namesIn(surroundings, 'proc/spl/kstat/zfs');
  const imported: string[] = [];
  for (const name of places) {
    const inside = await namesIn(surroundings, `proc/spl/kstat/zfs/${name}`);
    if (inside.length > 0) imported.push(name);
  }
  return [...new Set([...zfs.map(({ source }) => source), ...imported])].map(
    (name) => `${name} (zfs)`,
  );
}

/** Processes that have a disk open to write to it: databases on raw devices, say. */
async function openDevices(surroundings: Surroundings): Promise<string[]> {
  // In sysfs a slash cannot be part of a name.
  const names = await namesIn(surroundings, 'sys/class/block');
  const disks = new Set(names.map((name) => name.replaceAll('!', '/')));
  const found = new Set<string>();
  for (const pid of await namesIn(surroundings, 'proc')) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of await namesIn(surroundings, `proc/${pid}/fd`)) {
      const path = await linkOf(surroundings, `proc/${pid}/fd/${fd}`);
      if (!path?.startsWith('/dev/') || !disks.has(path.slice('/dev/'.length))) continue;
      const info = await textOf(surroundings, `proc/${pid}/fdinfo/${fd}`);
      if (!opensToWrite(info)) continue;
      const name = (await textOf(surroundings, `proc/${pid}/comm`))?.trim() ?? '?';
      found.add(`${path} by ${name} (${pid})`);
    }
  }
  return [...found];
}

/** proc_pid_fdinfo(5): the flags of open(2), octal; the last two bits are the way of access. */
function opensToWrite(info: string | undefined): boolean {
  const flags = /^flags:\s+([0-7]+)/m.exec(info ?? '')?.[1];
  return flags !== undefined && (Number.parseInt(flags, 8) & 3) !== 0;
}
