/** Puts the witness onto the host's disk, and understands what it answers. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { cached } from '../../cache.ts';
import type { DiskExtras } from '../../disk.ts';
import { inTree } from '../../paths.ts';
import type { Progress } from '../../progress.ts';

const SOURCE = 'images/lab/guest/witness.c';
const UNIT = 'pmsm-witness.service';
const PROGRAM = '/opt/pmsm/witness';
const FLAGS = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-static'];

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
  const built = await cached(
    {
      name: 'witness',
      title: 'Building the witness',
      inputs: { version: 1, source: { file: SOURCE }, flags: FLAGS },
      build: async (directory, { run }) => {
        await run(['gcc', ...FLAGS, '-o', resolve(directory, 'witness'), inTree(SOURCE)]);
      },
    },
    progress,
  );
  return {
    files: [
      { path: PROGRAM, source: built.path('witness'), mode: 0o755 },
      { path: `/etc/systemd/system/${UNIT}`, source: inTree('images/lab/guest', UNIT) },
    ],
    units: [UNIT],
  };
}
