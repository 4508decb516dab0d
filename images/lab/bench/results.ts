/** What a bench writes after each run, and goes on from: the demo's reports, one a run. */
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { PmsmError } from '../../../agent/wire/errors.ts';
import { writeWhole } from '../demo/output.ts';
import { type Report, ReportSchema } from '../demo/report/schema.ts';

export const MAX_RUNS = 2000;

export const BenchFileSchema = z.object({
  version: z.literal(1),
  runs: z.array(ReportSchema).max(MAX_RUNS),
});

export function readRuns(path: string): Report[] {
  if (!existsSync(path)) return [];
  try {
    return BenchFileSchema.parse(JSON.parse(readFileSync(path, 'utf8'))).runs;
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new PmsmError('bad-request', `${path} is no file of a bench: ${why}`.slice(0, 2000));
  }
}

export function writeRuns(path: string, runs: readonly Report[]): void {
  writeWhole(path, `${JSON.stringify({ version: 1, runs }, null, 1)}\n`);
}
