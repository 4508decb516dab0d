/** Puts onto the host's disk what changes every kind of memory (`--load churn`). */
import type { DiskExtras } from '../../disk.ts';
import { inTree } from '../../paths.ts';
import type { Progress } from '../../progress.ts';
import { guestProgram } from './program.ts';

/** Not enabled: started when a demo asks for it. */
export const CHURN_UNIT = 'pmsm-churn.service';

export async function churnExtras(progress: Progress): Promise<DiskExtras> {
  const program = await guestProgram('churn', progress);
  return {
    files: [
      { path: '/opt/pmsm/churn', source: program, mode: 0o755 },
      { path: `/etc/systemd/system/${CHURN_UNIT}`, source: inTree('images/lab/guest', CHURN_UNIT) },
    ],
    units: [],
  };
}
