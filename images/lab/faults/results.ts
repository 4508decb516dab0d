/** What `npm run faults` writes: one line a case. */
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { PmsmError } from '../../../agent/wire/errors.ts';
import { writeWhole } from '../demo/output.ts';

/** True: holds. Null: nothing that this case can have, such as the memory of a machine that was reset. */
const check = z.boolean().nullable();

export const ChecksSchema = z.object({
  rows: check,
  connection: check,
  disk: check,
  file: check,
  memory: check,
  continued: check,
  services: check,
  kernels: check,
  /** The disk's own record names the machine that runs. */
  owner_record: check,
  /** The other machine is what it has to be: off, waiting, or frozen for good. */
  other: check,
  leftovers: check,
});

export const ResultSchema = z.object({
  id: z.string().max(128),
  where: z.string().max(64),
  what: z.string().max(512),
  ok: z.boolean(),
  outcome: z.string().max(32),
  /** Of the report's error; null if it has none. */
  code: z.string().max(64).nullable(),
  owner: z.string().max(32),
  expected_owner: z.string().max(32),
  /** Null when in doubt, and when no client ever got an answer. */
  outage_ms: z.number().nonnegative().nullable(),
  checks: ChecksSchema,
  failures: z.array(z.string().max(2000)).max(100),
  seconds: z.number().nonnegative(),
});

export const FaultsFileSchema = z.object({
  version: z.literal(1),
  summary: z.object({ passed: z.int().nonnegative(), failed: z.int().nonnegative() }),
  cases: z.array(ResultSchema).max(2000),
});

export type Checks = z.infer<typeof ChecksSchema>;
export type Result = z.infer<typeof ResultSchema>;
export type FaultsFile = z.infer<typeof FaultsFileSchema>;

export function makeFile(cases: readonly Result[]): FaultsFile {
  const passed = cases.filter(({ ok }) => ok).length;
  return { version: 1, summary: { passed, failed: cases.length - passed }, cases: [...cases] };
}

export function readResults(path: string): Result[] {
  if (!existsSync(path)) return [];
  try {
    return FaultsFileSchema.parse(JSON.parse(readFileSync(path, 'utf8'))).cases;
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new PmsmError('bad-request', `${path} is no file of faults: ${why}`.slice(0, 2000));
  }
}

export function writeResults(path: string, cases: readonly Result[]): void {
  writeWhole(path, `${JSON.stringify(makeFile(cases), null, 1)}\n`);
}
