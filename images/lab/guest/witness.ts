/** Puts the witness onto the host's disk, and understands what it answers. */
import { z } from 'zod';
import type { DiskExtras } from '../../disk.ts';
import { inTree } from '../../paths.ts';
import type { Progress } from '../../progress.ts';
import { guestProgram } from './program.ts';

const UNIT = 'pmsm-witness.service';
const PROGRAM = '/opt/pmsm/witness';

export const WITNESS_UNIT = UNIT;
export const WITNESS_QUERY = `${PROGRAM} query`;

/** Both must have been read in full, or a digest says nothing. */
export const WITNESS_BYTES = 64 * 1024 * 1024;

export const WitnessSchema = z.object({
  version: z.literal(1),
  pid: z.int().positive(),
  start_jiffies: z.int().positive(),
  boot_id: z.string().min(1),
  uptime_ms: z.int().nonnegative(),
  memory_bytes: z.literal(WITNESS_BYTES),
  memory_digest: z.string().regex(/^[0-9a-f]{16}$/),
  file_bytes: z.literal(WITNESS_BYTES),
  file_digest: z.string().regex(/^[0-9a-f]{16}$/),
});

export type Witness = z.infer<typeof WitnessSchema>;

export async function witnessExtras(progress: Progress): Promise<DiskExtras> {
  const program = await guestProgram('witness', progress);
  return {
    files: [
      { path: PROGRAM, source: program, mode: 0o755 },
      { path: `/etc/systemd/system/${UNIT}`, source: inTree('images/lab/guest', UNIT) },
    ],
    units: [UNIT],
  };
}
