import { readMounts } from '../mounts.ts';
import { listed, ok, type Probe, refuse } from './finding.ts';

const WHY =
  'A task that waits for a server or a daemon cannot freeze once that is frozen or cut off.';
const REMOTE = /^(fuse|fuseblk|fuse\..+|nfs|nfs4|cifs|smb3|9p|ceph|afs|glusterfs|lustre|virtiofs)$/;

/** File systems that are served by a process or by another machine. */
export const remoteMounts: Probe = async (surroundings) => {
  const mounts = (await readMounts(surroundings)).filter(({ type }) => REMOTE.test(type));
  if (mounts.length === 0) return ok('would-not-freeze', 'no FUSE or network file system', WHY);
  const names = mounts.map(({ target, type }) => `${target} (${type})`);
  return [refuse('would-not-freeze', listed(names), WHY, 'Unmount it for the move.')];
};
