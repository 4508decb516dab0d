/**
 * `npm run faults`: every fault of the table (cases.ts), each in a lab of its own, and whether exactly one machine runs
 * afterwards with everything that it had. Written after every case, so that what ends it loses nothing.
 */
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { toPmsmError } from '../../../agent/wire/errors.ts';
import { wasInterrupted } from '../../cleanup.ts';
import { inTree } from '../../paths.ts';
import { type Progress, textProgress } from '../../progress.ts';
import { ensurePackages } from '../../setup/packages.ts';
import { requireWritable, writeWhole } from '../demo/output.ts';
import { keepLogs } from '../demo/stage.ts';
import { runProgram } from '../program.ts';
import { CASES, type FaultCase } from './cases.ts';
import { notPlayed, runCase } from './one-case.ts';
import { chosen, type FaultsOptions, parseOptions } from './options.ts';
import { renderPage } from './page.ts';
import { makeFile, type Result, readResults, writeResults } from './results.ts';
import { drawPage, drawText, sayFailures } from './table.ts';

const OUTPUT = inTree('build/faults');
const FILE = resolve(OUTPUT, 'results.json');
const PAGE = resolve(OUTPUT, 'report.html');

async function faults(options: FaultsOptions): Promise<number> {
  const wanted = chosen(options);
  if (options.list) {
    process.stdout.write(wanted.map(({ id, what }) => `${id.padEnd(24)}${what}\n`).join(''));
    return 0;
  }
  requireWritable(options.json);
  requireWritable(options.export);
  const progress = textProgress();
  await ensurePackages(['lab', 'kernel', 'native'], progress);
  const file = options.json ?? FILE;
  let results = options.resume ? readResults(file) : [];
  for (const [index, one] of wanted.entries()) {
    if (results.some(({ id, ok }) => id === one.id && ok)) continue;
    progress.note(`\n== ${index + 1} of ${wanted.length}: ${one.id}: ${one.what}`);
    const result = await tryCase(one, progress);
    for (const failure of result.failures) progress.note(`  ${failure}`);
    results = inOrder([...results.filter(({ id }) => id !== one.id), result]);
    writeResults(file, results);
    writeWhole(PAGE, renderPage(results));
  }
  if (options.export !== null) writeWhole(resolve(options.export), drawPage(results));
  const { summary } = makeFile(results);
  const failures = sayFailures(results);
  process.stdout.write(`\n${drawText(results)}\n`);
  if (failures.length > 0) process.stdout.write(`\n${failures.join('\n')}\nConsoles: ${OUTPUT}\n`);
  process.stdout.write(`\n${summary.passed} hold, ${summary.failed} do not. ${PAGE}\n`);
  return summary.failed === 0 ? 0 : 1;
}

/** A case that could not be played to its end has not held. */
async function tryCase(one: FaultCase, progress: Progress): Promise<Result> {
  const logs = resolve(OUTPUT, one.id);
  rmSync(logs, { recursive: true, force: true });
  try {
    return await runCase(one, progress, (runDir) => keepLogs(runDir, logs));
  } catch (error) {
    if (wasInterrupted()) throw error;
    return notPlayed(one, toPmsmError(error).message);
  }
}

function inOrder(results: readonly Result[]): Result[] {
  return CASES.flatMap(({ id }) => results.filter((result) => result.id === id));
}

await runProgram(() => faults(parseOptions(process.argv.slice(2))));
