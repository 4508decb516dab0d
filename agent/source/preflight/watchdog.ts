import { namesIn, textOf } from '../surroundings.ts';
import { listed, ok, type Probe, warn } from './finding.ts';

const WHY =
  'A machine that is held in doubt stands still for long, and a watchdog would reset it with its memory.';
const DIRECTORY = 'sys/class/watchdog';

/** A hardware watchdog that counts. */
export const watchdog: Probe = async (surroundings) => {
  const armed: string[] = [];
  for (const name of await namesIn(surroundings, DIRECTORY)) {
    const state = await textOf(surroundings, `${DIRECTORY}/${name}/state`);
    const timeout = await textOf(surroundings, `${DIRECTORY}/${name}/timeout`);
    if (state?.trim() === 'active') armed.push(`${name}, ${timeout?.trim() ?? '?'} s`);
  }
  if (armed.length === 0) return ok('watchdog-armed', 'no watchdog is armed', WHY);
  return [warn('watchdog-armed', listed(armed), WHY)];
};
