import { setTimeout as sleep } from 'node:timers/promises';
import { namesIn, type Surroundings, textOf } from '../surroundings.ts';
import { listed, ok, type Probe, refuse } from './finding.ts';

const WHY = 'A task that waits in the kernel and cannot be woken does not freeze.';
/** A disk access takes a task into the same state for a moment. */
const LOOK_AGAIN_MS = 300;
const KERNEL_THREAD = 0x0020_0000;

interface Task {
  id: string;
  name: string;
}

/** Tasks in uninterruptible sleep, now and a moment later. */
export const tasks: Probe = async (surroundings) => {
  const first = await sleepers(surroundings);
  if (first.length === 0) return ok('would-not-freeze', 'no task hangs', WHY);
  await sleep(LOOK_AGAIN_MS);
  const later = new Set((await sleepers(surroundings)).map(({ id }) => id));
  const stuck = first.filter(({ id }) => later.has(id)).map(({ id, name }) => `${name} (${id})`);
  if (stuck.length === 0) return ok('would-not-freeze', 'no task hangs', WHY);
  return [refuse('would-not-freeze', `in uninterruptible sleep: ${listed(stuck)}`, WHY)];
};

async function sleepers(surroundings: Surroundings): Promise<Task[]> {
  const found: Task[] = [];
  for (const id of await namesIn(surroundings, 'proc')) {
    if (!/^\d+$/.test(id)) continue;
    const task = parseStat(id, (await textOf(surroundings, `proc/${id}/stat`)) ?? '');
    if (task) found.push(task);
  }
  return found;
}

/** proc_pid_stat(5); the name may hold anything, so the fields are counted from its last bracket. */
function parseStat(id: string, stat: string): Task | undefined {
  const close = stat.lastIndexOf(')');
  const fields = stat.slice(close + 2).split(' ');
  const flags = Number(fields[6] ?? 0);
  if (fields[0] !== 'D' || (flags & KERNEL_THREAD) !== 0) return undefined;
  return { id, name: stat.slice(stat.indexOf('(') + 1, close) };
}
