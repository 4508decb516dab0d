/** What an attempt must not leave behind on the machine that runs. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '../lab.ts';

/** The helper waits until services have caught up, and gives back what it took from them. */
const HELPER_ENDS_MS = 30_000;
const POLL_MS = 500;

const WRITES = 'touch /var/tmp/alive && sync -f /var/tmp/alive && echo yes';
/** Says what it found to thaw and to delete. */
const RECOVER = '/opt/pmsm/pmsm-freeze recover 2>&1 || true';
const HELPERS = 'cat /proc/[0-9]*/comm 2>/dev/null | grep -cx pmsm-freeze || true';

/** One sentence for each thing that is left. */
export async function leftoversOn(lab: Lab): Promise<string[]> {
  const left: string[] = [];
  if ((await lab.ssh(WRITES)).trim() !== 'yes') left.push('it does not write to its disk');
  if (!(await helpersEnd(lab))) left.push('a helper still runs');
  const said = await lab.ssh(RECOVER);
  if (!/0 file systems thawed, quarantine was not there/.test(said)) {
    left.push(`there was something to recover: ${said.trim()}`);
  }
  return left;
}

async function helpersEnd(lab: Lab): Promise<boolean> {
  for (const deadline = performance.now() + HELPER_ENDS_MS; performance.now() < deadline; ) {
    if ((await lab.ssh(HELPERS)).trim() === '0') return true;
    await sleep(POLL_MS);
  }
  return false;
}
