import { isOnBlockDevice, readMounts } from '../mounts.ts';
import { listed, ok, type Probe, refuse } from './finding.ts';

const WHY =
  'The disk must not change between the snapshot and the moment the target takes it over.';

/**
 * Writable file systems on disks must be able to hold their writes. Those on a loop device in a
 * file of another one are fine: they are frozen innermost first.
 */
export const filesystems: Probe = async (surroundings) => {
  const onDisk = (await readMounts(surroundings)).filter(isOnBlockDevice);
  const wrong = onDisk.filter(({ writable, freezable }) => writable && !freezable);
  if (wrong.length === 0) {
    const count = new Set(onDisk.map(({ source }) => source)).size;
    return ok('filesystem-not-freezable', `${count} on disks, each can be frozen`, WHY);
  }
  const names = [...new Set(wrong.map(({ target, type }) => `${target} (${type})`))];
  return [refuse('filesystem-not-freezable', listed(names), WHY)];
};
