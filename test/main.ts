/**
 * `npm test`: runs every suite, or those named by --only, and closes with one line that counts.
 * Each suite says what it costs and what it needs; CONTRIBUTING.md has the table of measured costs.
 */
import { globSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { ensureKernelSource } from '../images/kernel.ts';
import { ensurePackages } from '../images/setup/packages.ts';
import { endChildren, inParallel, runCheck, runTap } from './run.ts';
import { addTally, emptyTally, type Tally } from './tally.ts';

const ROOT = resolve(import.meta.dirname, '..');
const NODE = process.execPath;
const BIN = resolve(ROOT, 'node_modules/.bin');
// Not the package that chooses among platforms: npm leaves those that a registry lacks out of the lock file,
// and then `npm ci` refuses it.
const BIOME = resolve(ROOT, 'node_modules/@biomejs/cli-linux-x64/biome');
const MINUTE_MS = 60_000;
const UNIT_WIDTH = 2;

interface Suite {
  name: SuiteName;
  /** What it proves. */
  what: string;
  run: (match: RegExp | undefined) => Promise<Tally>;
}

const SUITE_NAMES = ['lint', 'unit', 'native', 'model', 'patches', 'e2e'] as const;
type SuiteName = (typeof SUITE_NAMES)[number];

const SUITES: Suite[] = [
  { name: 'lint', what: 'style, types and generated files', run: lint },
  { name: 'unit', what: 'each part of the control plane by itself', run: unit },
  { name: 'native', what: 'the helpers of the frozen phase, with sanitizers too', run: native },
  { name: 'model', what: 'the hand-off explored to its end, and mistakes in it found', run: model },
  { name: 'patches', what: 'the kernel series applies and keeps the kernel style', run: patches },
  { name: 'e2e', what: 'migrations between emulated machines', run: endToEnd },
];

async function lint(): Promise<Tally> {
  const total = emptyTally();
  const check = async (name: string, argv: [string, ...string[]]): Promise<void> => {
    addTally(
      total,
      await runCheck(`lint: ${name}`, { argv, cwd: ROOT, timeout_ms: 3 * MINUTE_MS }),
    );
  };
  const native = globSync('agent/native/**/*.{c,h}', { cwd: ROOT });
  const guest = globSync('images/lab/guest/*.c', { cwd: ROOT });
  const handwritten = [...native, ...guest].filter((file) => !file.endsWith('.gen.h'));
  await check('biome', [BIOME, 'check', '--error-on-warnings', '.']);
  await check('types', [`${BIN}/tsc`, '-p', '.']);
  await check('generated files are fresh', [NODE, 'agent/wire/generate.ts', '--check']);
  await check('clang-format', ['clang-format', '--dry-run', '-Werror', ...handwritten]);
  await check('shellcheck', ['shellcheck', '-x', ...shellScripts()]);
  addTally(total, await tapFile('test/lint/tidy.test.ts', 'lint: tidy', MINUTE_MS));
  return total;
}

/** Every file that starts like a shell script, whatever its name ends in. */
function shellScripts(): string[] {
  const everywhere = globSync('{.ci,agent,images,kernel-patches,orchestrator,test}/**/*', {
    cwd: ROOT,
    withFileTypes: true,
  });
  const files = everywhere.filter((entry) => entry.isFile() && /^[^.]+$|\.sh$/.test(entry.name));
  return files
    .map((entry) => resolve(entry.parentPath, entry.name))
    .filter((file) =>
      /^#!\/(usr\/)?bin\/(env )?(busybox )?(ba|da)?sh\b/.test(readFileSync(file, 'latin1')),
    );
}

function tapFile(file: string, name: string, timeout_ms: number): Promise<Tally> {
  return runTap(name, { argv: [NODE, file], cwd: ROOT, timeout_ms });
}

function filesOf(pattern: string, match: RegExp | undefined): string[] {
  return globSync(pattern, { cwd: ROOT })
    .filter((file) => !match || match.test(file))
    .sort();
}

async function unit(match: RegExp | undefined): Promise<Tally> {
  const total = emptyTally();
  const jobs = filesOf('test/unit/**/*.test.ts', match).map(
    (file) => () => tapFile(file, file.replace('test/', ''), MINUTE_MS),
  );
  await inParallel(jobs, UNIT_WIDTH, total, addTally);
  return total;
}

/** Built first, then side by side: most of their time they wait for a timeout to pass. */
async function native(): Promise<Tally> {
  const total = emptyTally();
  const make: [string, ...string[]] = ['make', '-s', '-j2', '-C', 'agent/native'];
  const limits = { cwd: ROOT, timeout_ms: 5 * MINUTE_MS };
  addTally(total, await runCheck('native: builds', { argv: [...make, 'tests'], ...limits }));
  if (total.failed > 0) return total;
  const jobs = ['test', 'asan'].map(
    (target) => () => runTap(`native: ${target}`, { argv: [...make, target], ...limits }),
  );
  await inParallel(jobs, jobs.length, total, addTally);
  return total;
}

async function model(): Promise<Tally> {
  return await tapFile('test/model/model.test.ts', 'model', 10 * MINUTE_MS);
}

async function patches(): Promise<Tally> {
  const source = await ensureKernelSource();
  return runCheck('patches: series', {
    argv: ['sh', 'kernel-patches/check', source],
    cwd: ROOT,
    timeout_ms: 10 * MINUTE_MS,
  });
}

async function endToEnd(match: RegExp | undefined): Promise<Tally> {
  const total = emptyTally();
  for (const file of filesOf('test/e2e/*.test.ts', match)) {
    addTally(total, await tapFile(file, file.replace('test/', ''), 25 * MINUTE_MS));
  }
  return total;
}

/** In CI a skip is a failure: what cannot run there must be said in the suite's list, not skipped. */
function judgeSkips(total: Tally): void {
  for (const skip of total.skipped) process.stdout.write(`skipped ${skip.name}: ${skip.reason}\n`);
  if (process.env.CI && total.skipped.length > 0) {
    total.failed += total.skipped.length;
    total.failures.push(...total.skipped.map((skip) => `${skip.name} was skipped`));
    total.skipped = [];
  }
}

async function main(): Promise<void> {
  const program = new Command('npm test --')
    .description('Runs the tests of pmsm.')
    .addOption(new Option('--only <suites...>', 'run these suites only').choices(SUITE_NAMES))
    .option('--match <pattern>', 'of unit and e2e, run files whose path matches this pattern')
    .parse();
  const options = program.opts<{ only?: SuiteName[]; match?: string }>();
  const match = options.match === undefined ? undefined : new RegExp(options.match);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      endChildren(signal);
      process.exitCode = 130;
      setTimeout(() => {
        endChildren('SIGKILL');
        process.exit(130);
      }, 10_000).unref();
    });
  }
  await ensurePackages(['native', 'kernel', 'lab', 'test']);
  const total = emptyTally();
  for (const suite of SUITES.filter(({ name }) => !options.only || options.only.includes(name))) {
    if (process.exitCode === 130) break;
    process.stdout.write(`\n# ${suite.name}: ${suite.what}\n`);
    const started_ms = performance.now();
    addTally(total, await suite.run(match));
    const seconds = ((performance.now() - started_ms) / 1000).toFixed(0);
    process.stdout.write(`# ${suite.name} took ${seconds} s\n`);
  }
  judgeSkips(total);
  for (const failure of total.failures) process.stdout.write(`failed ${failure}\n`);
  const skips = total.skipped.length > 0 ? `, ${total.skipped.length} skipped` : '';
  process.stdout.write(`\n${total.passed} passed, ${total.failed} failed${skips}\n`);
  if (total.failed > 0 || total.passed === 0) process.exitCode ||= 1;
}

await main();
