/**
 * Every kind of run that the first migration must stand, one after the other, each a demo of its
 * own. The results go to docs/results/first-migration.md after every run.
 *
 *     matrix.ts [--resume] [--only NAME]
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Command, CommanderError } from 'commander';
import { z } from 'zod';
import { inTree } from '../../paths.ts';
import { type ReportFile, ReportFileSchema } from './report/schema.ts';
import {
  type DowntimeLimits,
  type MatrixResult,
  MatrixResultSchema,
  renderResults,
  summariseRun,
} from './results.ts';

const DEMO = new URL('./main.ts', import.meta.url).pathname;
const BUILD = inTree('build/matrix');
const STATE = resolve(BUILD, 'results.json');
const PAGE = inTree('docs/results/first-migration.md');

interface Run {
  name: string;
  words: readonly string[];
  times?: number;
  limits?: DowntimeLimits;
}

const DEFAULT_LIMITS = { median_ms: 5000, longest_ms: 7000 };
const STOCK_LIMITS = { median_ms: 9000, longest_ms: 9000 };

const RUNS: readonly Run[] = [
  { name: 'default', words: [], times: 5, limits: DEFAULT_LIMITS },
  { name: 'there and back, ten moves', words: ['--moves', '10'] },
  { name: 'two CPUs', words: ['--cpus', '2'] },
  { name: '1 GiB', words: ['--memory', '1024'] },
  { name: '4 GiB', words: ['--memory', '4096'] },
  { name: 'NVMe', words: ['--disk', 'nvme'] },
  { name: 'virtio', words: ['--nic', 'virtio', '--disk', 'virtio'] },
  { name: 'sysbench', words: ['--load', 'oltp'] },
  {
    name: 'stock kernel, virtio',
    words: ['--kernel', 'stock', '--nic', 'virtio'],
    times: 3,
    limits: STOCK_LIMITS,
  },
  { name: 'stock kernel, e1000e', words: ['--kernel', 'stock'], times: 3, limits: STOCK_LIMITS },
  { name: 'one network card', words: ['--single-nic'] },
  { name: 'MariaDB', words: ['--database', 'mariadb'] },
];

async function main(): Promise<number> {
  const command = new Command('matrix')
    .option('--resume', 'leave out what has passed already', false)
    .option('--only <name>', 'this run alone')
    .exitOverride()
    .parse();
  const { resume, only } = command.opts<{ resume: boolean; only?: string }>();
  mkdirSync(BUILD, { recursive: true });
  const results = readState();
  let failed = 0;
  for (const run of RUNS) {
    const { name } = run;
    if (only !== undefined && only !== name) continue;
    if (resume && results.find((result) => result.name === name)?.ok === true) continue;
    process.stderr.write(`\n== ${name}\n`);
    const result = await runAll(run);
    const kept = results.filter((other) => other.name !== name);
    results.splice(0, results.length, ...kept, result);
    writeWhole(STATE, `${JSON.stringify(results, null, 1)}\n`);
    writeWhole(PAGE, renderResults(inOrder(results)));
    if (!result.ok) failed += 1;
  }
  return failed === 0 ? 0 : 1;
}

function inOrder(results: readonly MatrixResult[]): MatrixResult[] {
  return RUNS.flatMap((run) => results.find((result) => result.name === run.name) ?? []);
}

function readState(): MatrixResult[] {
  if (!existsSync(STATE)) return [];
  return z.array(MatrixResultSchema).parse(JSON.parse(readFileSync(STATE, 'utf8')));
}

async function runAll({ name, words, times = 1, limits }: Run): Promise<MatrixResult> {
  const begin_ms = performance.now();
  const files: ReportFile[] = [];
  let exit = 0;
  for (let time = 0; time < times; time += 1) {
    const json = resolve(BUILD, `${name.replace(/\W+/g, '-')}-${time + 1}.json`);
    rmSync(json, { force: true });
    exit = Math.max(exit, await runDemo([...words, '--json', json]));
    files.push(readReport(json));
  }
  const seconds = Math.round((performance.now() - begin_ms) / 1000);
  return summariseRun(name, words, files, { exit, seconds, ...(limits && { limits }) });
}

async function runDemo(words: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [DEMO, ...words], { stdio: 'inherit' });
  const exit = await new Promise<number>((done) => {
    child.once('error', () => done(1));
    child.once('close', (code, signal) => done(signal === null ? (code ?? 1) : 130));
  });
  // Ctrl-C reached the demo as well; it has cleaned up and nothing is to be recorded.
  if (exit === 130) process.exit(130);
  return exit;
}

function readReport(json: string): ReportFile {
  return ReportFileSchema.catch({ version: 1, ok: false, moves: [] }).parse(
    existsSync(json) ? JSON.parse(readFileSync(json, 'utf8')) : null,
  );
}

function writeWhole(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.part`, text);
  renameSync(`${path}.part`, path);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
