import { readWritableDevices } from '../mounts.ts';
import { linkOf, namesIn, type Surroundings, textOf } from '../surroundings.ts';
import { listed, ok, type Probe, refuse } from './finding.ts';

const WHY =
  'All traffic is dropped before processes and file systems are frozen, and both wait for their disk.';
const REMEDY =
  'Log out of it for the move, or reach the disk by an adapter that speaks for itself.';
/** Device mapper on MD on partitions, say; more is a loop. */
const DEPTH_MAX = 8;

/** Disks that this machine's own TCP reaches, under a writable file system or swap. */
export const networkDisks: Probe = async (surroundings) => {
  const found: string[] = [];
  for (const { number, use } of await readWritableDevices(surroundings)) {
    const what = await reachedBy(surroundings, `sys/dev/block/${number}`, DEPTH_MAX);
    if (what) found.push(`${use}: ${what}`);
  }
  for (const path of await swapsIn(surroundings)) {
    const name = path.split('/').at(-1) ?? '';
    const what = await reachedBy(surroundings, `sys/class/block/${name}`, DEPTH_MAX);
    if (what) found.push(`swap on ${path}: ${what}`);
  }
  if (found.length === 0) return ok('would-not-freeze', 'no disk over TCP', WHY);
  return [refuse('would-not-freeze', listed([...new Set(found)]), WHY, REMEDY)];
};

async function swapsIn(surroundings: Surroundings): Promise<string[]> {
  const text = (await textOf(surroundings, 'proc/swaps')) ?? '';
  return text
    .split('\n')
    .map((line) => line.split(/\s+/))
    .filter(([path, type]) => path?.startsWith('/dev/') && type === 'partition')
    .map(([path = '']) => path);
}

/** Undefined: not by TCP. `at`: a link in sysfs to the device's directory. */
async function reachedBy(
  surroundings: Surroundings,
  at: string,
  depth: number,
): Promise<string | undefined> {
  const place = (await linkOf(surroundings, at)) ?? '';
  // An adapter with sessions of its own is on a bus; software's hang below no device.
  if (/\/platform\/host\d+\/session\d+\//.test(place)) return 'iSCSI over TCP';
  const block = /\/block\/(nbd|rbd|drbd)\d+(\/|$)/.exec(place);
  if (block) return `a network block device (${block[1]})`;
  if (/\/nvme-(fabrics|subsystem)\//.test(place) && (await hasNvmeOverTcp(surroundings))) {
    return 'NVMe over TCP';
  }
  if (depth === 0) return undefined;
  for (const slave of await namesIn(surroundings, `${at}/slaves`)) {
    const what = await reachedBy(surroundings, `sys/class/block/${slave}`, depth - 1);
    if (what) return what;
  }
  return undefined;
}

/** Which controller a namespace with several paths uses is not asked: one by TCP is enough. */
async function hasNvmeOverTcp(surroundings: Surroundings): Promise<boolean> {
  for (const name of await namesIn(surroundings, 'sys/class/nvme')) {
    const transport = await textOf(surroundings, `sys/class/nvme/${name}/transport`);
    if (transport?.trim() === 'tcp') return true;
  }
  return false;
}
