/**
 * Every kind of run that an engine must stand, one after the other, each a demo of its own. The
 * results go to a page of docs/results/ after every run.
 *
 *     matrix.ts [first-migration|delta|checker] [--resume] [--only NAME]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, resolve } from 'node:path';
import { Argument, Command, CommanderError } from 'commander';
import { z } from 'zod';
import { inTree } from '../../paths.ts';
import { type ReportFile, ReportFileSchema } from './report/schema.ts';
import { type MatrixResult, MatrixResultSchema, renderResults, summariseRun } from './results.ts';
import { MATRICES, type Matrix, type Run } from './runs.ts';

const DEMO = new URL('./main.ts', import.meta.url).pathname;
const BUILD = inTree('build/matrix');

/** Of a demo that Ctrl-C has ended. */
const INTERRUPTED = 128 + constants.signals.SIGINT;

let demo: ChildProcess | undefined;
let interruptedBy: 'SIGINT' | 'SIGTERM' | undefined;

async function main(): Promise<number> {
  const command = new Command('matrix')
    .addArgument(new Argument('[matrix]').choices(Object.keys(MATRICES)).default('first-migration'))
    .option('--resume', 'leave out what has passed already', false)
    .option('--only <name>', 'this run alone')
    .exitOverride()
    .parse();
  const { resume, only } = command.opts<{ resume: boolean; only?: string }>();
  const matrix = MATRICES[String(command.processedArgs[0])] as Matrix;
  const state = resolve(BUILD, `${matrix.file}.json`);
  mkdirSync(BUILD, { recursive: true });
  const results = readState(state);
  let failed = 0;
  for (const run of matrix.runs) {
    const { name } = run;
    if (only !== undefined && only !== name) continue;
    if (resume && results.find((result) => result.name === name)?.ok === true) continue;
    process.stderr.write(`\n== ${name}\n`);
    const result = await runAll(run);
    const kept = results.filter((other) => other.name !== name);
    results.splice(0, results.length, ...kept, result);
    writeWhole(state, `${JSON.stringify(results, null, 1)}\n`);
    const page = inTree(`docs/results/${matrix.file}`);
    writeWhole(page, renderResults(matrix.title, inOrder(matrix, results)));
    if (!result.ok) failed += 1;
  }
  return failed === 0 ? 0 : 1;
}

function inOrder(matrix: Matrix, results: readonly MatrixResult[]): MatrixResult[] {
  return matrix.runs.flatMap((run) => results.find((result) => result.name === run.name) ?? []);
}

function readState(path: string): MatrixResult[] {
  if (!existsSync(path)) return [];
  return z.array(MatrixResultSchema).parse(JSON.parse(readFileSync(path, 'utf8')));
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
  demo = child;
  const exit = await new Promise<number>((done) => {
    child.once('error', () => done(1));
    child.once('close', (code) => done(code ?? 1));
  });
  // The demo has cleaned up, whoever was told to end, and nothing is to be recorded.
  if (interruptedBy) process.exit(128 + constants.signals[interruptedBy]);
  if (exit === INTERRUPTED) process.exit(exit);
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

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    interruptedBy = signal;
    // A terminal's Ctrl-C reaches the demo as well, which takes two for one; `kill` does not.
    demo?.kill(signal);
  });
}
try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
