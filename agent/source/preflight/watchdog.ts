import { PHASE_BY_NAME } from '../../wire/phases.gen.ts';
import { namesIn, textOf } from '../surroundings.ts';
import { listed, ok, type Probe, warn } from './finding.ts';

const WHY =
  'Who pets a watchdog is frozen in the window. The helper does it instead, but not while a snapshot is made.';
const UNGUARDED =
  'Should the helpers die after commit, it resets this machine, which then boots from a disk that has another owner.';
const ENROL =
  'Enrol the disk (pmsm.record, docs/operations.md), or stop the watchdog for the migration.';
const DIRECTORY = 'sys/class/watchdog';

/** A hardware watchdog that counts, and might not wait for as long as a snapshot may take. */
export const watchdog: Probe = async (surroundings) => {
  const limit_ms = PHASE_BY_NAME.snapshot.timeout_ms;
  const armed: string[] = [];
  const hasty: string[] = [];
  for (const name of await namesIn(surroundings, DIRECTORY)) {
    const state = await textOf(surroundings, `${DIRECTORY}/${name}/state`);
    if (state?.trim() !== 'active') continue;
    const timeout = (await textOf(surroundings, `${DIRECTORY}/${name}/timeout`))?.trim();
    const text = `${name}, ${timeout ?? '?'} s`;
    armed.push(text);
    if (!(Number(timeout) * 1000 > limit_ms)) hasty.push(text);
  }
  if (hasty.length > 0) return [warn('watchdog-armed', listed(hasty), WHY)];
  if (armed.length > 0 && !surroundings.enrolled) {
    return [warn('watchdog-armed', listed(armed), UNGUARDED, ENROL)];
  }
  const found = armed.length > 0 ? `${listed(armed)}: will be petted` : 'no watchdog is armed';
  return ok('watchdog-armed', found, WHY);
};
