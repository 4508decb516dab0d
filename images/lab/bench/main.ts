/**
 * `npm run bench`: the same machine, with the same load and client, moved in every way there is, in turn, and
 * the figures side by side. Written after every run, so that what ends it loses nothing: `--resume` goes on.
 */
import { inTree } from '../../paths.ts';
import { textProgress } from '../../progress.ts';
import { requireWritable, writeWhole } from '../demo/output.ts';
import { formatMs } from '../demo/report/format.ts';
import type { Report } from '../demo/report/schema.ts';
import { failuresOf } from '../demo/verdict.ts';
import { runProgram } from '../program.ts';
import { runCase } from './case.ts';
import { chooseEmulator } from './emulator.ts';
import { exportTo, requireFolder } from './export.ts';
import { type BenchOptions, parseOptions } from './options.ts';
import { renderPage } from './page.ts';
import { type Case, casesOf, remaining, requireSameMachine } from './plan.ts';
import { readRuns, writeRuns } from './results.ts';
import { nameOf, summarise } from './summary.ts';
import { drawTable, legend } from './table.ts';

const FILE = inTree('build/bench/runs.json');
const PAGE = inTree('build/bench/report.html');

async function bench(wanted: BenchOptions): Promise<number> {
  const progress = textProgress();
  requireWritable(wanted.json);
  requireFolder(wanted.export);
  const { kind, emulator } = await chooseEmulator(wanted, progress);
  const options = { ...wanted, lab: { ...wanted.lab, emulator: kind } };
  const file = options.json ?? FILE;
  const reports = options.resume ? readRuns(file) : [];
  requireSameMachine(reports, options.lab, emulator.version);
  const left = remaining(options, reports);
  const all = casesOf(options).length;
  let failed = 0;
  for (const [index, one] of left.entries()) {
    progress.note(`\n== ${all - left.length + index + 1} of ${all}: ${titleOf(one)}`);
    const report = await runCase(one, options, progress);
    reports.push(report);
    if (!report.ok) failed += 1;
    progress.note(lineOf(report));
    writeRuns(file, reports);
    writeWhole(PAGE, renderPage(reports));
  }
  const summaries = summarise(reports);
  process.stdout.write(`\n${drawTable(summaries)}\n\n${legend(summaries).join('\n')}\n${PAGE}\n`);
  if (options.export !== null) {
    process.stdout.write(`${exportTo(options.export, reports).join('\n')}\n`);
  }
  return failed === 0 ? 0 : 1;
}

const titleOf = ({ engine, run, ...setting }: Case): string =>
  `${engine}, run ${run} (${nameOf(setting)})`;

function lineOf(report: Report): string {
  const { client, window } = report.downtime_ms;
  const failures = failuresOf(report).map((failure) => `; ${failure}`);
  return `${report.engine}: client ${formatMs(client)}, window ${formatMs(window)}${failures.join('')}`;
}

await runProgram(() => bench(parseOptions(process.argv.slice(2))));
