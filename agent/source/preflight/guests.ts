import { linkOf, namesIn, type Surroundings, textOf } from '../surroundings.ts';
import { listed, ok, type Probe, refuse } from './finding.ts';

const WHY = 'The state of a guest or a passed-through device lives where no image reaches.';
const LINKS: ReadonlyArray<[RegExp, string]> = [
  [/^anon_inode:\[?kvm-vm\]?/, 'runs a KVM guest'],
  [/^\/dev\/vfio\//, 'holds a device through VFIO'],
];

/** KVM guests that run, and devices given to user space. */
export const guests: Probe = async (surroundings) => {
  const found: string[] = [];
  for (const id of await namesIn(surroundings, 'proc')) {
    const what = /^\d+$/.test(id) ? await heldBy(surroundings, id) : undefined;
    if (what) found.push(`${await nameOf(surroundings, id)} (${id}) ${what}`);
  }
  if (found.length === 0) return ok('would-not-freeze', 'no guest or passed-through device', WHY);
  return [refuse('would-not-freeze', listed(found), WHY, 'Stop the guest, or move it first.')];
};

async function heldBy(surroundings: Surroundings, id: string): Promise<string | undefined> {
  for (const descriptor of await namesIn(surroundings, `proc/${id}/fd`)) {
    const link = (await linkOf(surroundings, `proc/${id}/fd/${descriptor}`)) ?? '';
    const match = LINKS.find(([pattern]) => pattern.test(link));
    if (match) return match[1];
  }
  return undefined;
}

async function nameOf(surroundings: Surroundings, id: string): Promise<string> {
  return ((await textOf(surroundings, `proc/${id}/comm`)) ?? 'a process').trim();
}
