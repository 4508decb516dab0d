import { spawn } from 'node:child_process';
import { basename } from 'node:path';
import { Parser, type Result } from 'tap-parser';
import { emptyTally, type Tally } from './tally.ts';

/** A test's output is kept up to this size for the report of a failure. */
const OUTPUT_BYTES_MAX = 256 * 1024;

/** Processes that run now, by id: ended when the runner ends. */
const running = new Set<number>();

/** Ends whatever the runner started: each child is the leader of a process group of its own. */
export function endChildren(signal: NodeJS.Signals): void {
  for (const pid of running) {
    try {
      process.kill(-pid, signal);
    } catch {
      // It has ended already.
    }
  }
}

interface Finished {
  code: number;
  output: string;
  timedOut: boolean;
}

interface Command {
  argv: [string, ...string[]];
  cwd: string;
  timeout_ms: number;
  onStdout?: (chunk: Buffer) => void;
  env?: NodeJS.ProcessEnv;
}

/** Runs a command to its end in its own process group; past the timeout the group is ended. */
export function runCommand(command: Command): Promise<Finished> {
  return new Promise((resolve) => {
    const [file, ...args] = command.argv;
    const child = spawn(file, args, {
      cwd: command.cwd,
      env: command.env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let output = '';
    let timedOut = false;
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString('utf8')).slice(-OUTPUT_BYTES_MAX);
    };
    child.stdout.on('data', (chunk: Buffer) => {
      keep(chunk);
      command.onStdout?.(chunk);
    });
    child.stderr.on('data', keep);
    if (child.pid !== undefined) running.add(child.pid);
    const timer = setTimeout(() => {
      timedOut = true;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, command.timeout_ms);
    const finish = (code: number): void => {
      clearTimeout(timer);
      if (child.pid !== undefined) running.delete(child.pid);
      resolve({ code, output, timedOut });
    };
    child.on('error', (error) => {
      output += String(error);
      finish(127);
    });
    child.on('close', (code) => finish(code ?? 1));
  });
}

/** A command that passes or fails as a whole: one test. */
export async function runCheck(name: string, command: Command): Promise<Tally> {
  const tally = emptyTally();
  const started_ms = performance.now();
  const result = await runCommand(command);
  const failed = result.code !== 0 || result.timedOut;
  say(name, failed, started_ms);
  if (failed) {
    tally.failed = 1;
    tally.failures.push(name);
    process.stdout.write(indent(result.timedOut ? `${result.output}\ntimed out` : result.output));
  } else {
    tally.passed = 1;
  }
  return tally;
}

/** Runs a program that prints TAP and counts its assertions. A file without any fails. */
export async function runTap(name: string, command: Command): Promise<Tally> {
  const tally = emptyTally();
  const started_ms = performance.now();
  const parser = new Parser();
  count(parser, name, tally);
  const result = await runCommand({
    ...command,
    onStdout: (chunk) => {
      parser.write(chunk.toString('utf8'));
    },
  });
  parser.end();
  const broken = result.code !== 0 || result.timedOut || !parser.ok;
  if (broken && tally.failed === 0) fail(tally, `${name}: ended with ${result.code}`);
  if (tally.passed + tally.failed + tally.skipped.length === 0) {
    fail(tally, `${name}: has no test`);
  }
  say(name, tally.failed > 0, started_ms, tally);
  if (tally.failed > 0) {
    process.stdout.write(indent(result.timedOut ? `${result.output}\ntimed out` : result.output));
  }
  return tally;
}

/** Leaves count, a subtest's summary line does not: its own assertions were counted inside. */
function count(parser: Parser, name: string, tally: Tally): void {
  let childResults = 0;
  parser.on('child', (child: Parser) => {
    childResults += 1;
    count(child, name, tally);
  });
  parser.on('assert', (result: Result) => {
    if (childResults > 0) {
      childResults -= 1;
      if (!result.skip && !result.todo) return;
    }
    if (result.skip || result.todo) {
      tally.skipped.push({
        name: `${name}: ${result.name}`,
        reason: String(result.skip || result.todo),
      });
    } else if (result.ok) tally.passed += 1;
    else fail(tally, `${name}: ${result.fullname || result.name}`);
  });
}

function fail(tally: Tally, name: string): void {
  tally.failed += 1;
  tally.failures.push(name);
}

function say(name: string, failed: boolean, started_ms: number, tally?: Tally): void {
  const seconds = ((performance.now() - started_ms) / 1000).toFixed(1);
  const numbers = tally ? `, ${tally.passed} passed, ${tally.failed} failed` : '';
  process.stdout.write(`${failed ? 'FAIL' : 'ok  '} ${name} (${seconds} s${numbers})\n`);
}

function indent(text: string): string {
  return `${text
    .trimEnd()
    .split('\n')
    .map((line) => `     ${line}`)
    .join('\n')}\n`;
}

/** Runs jobs with at most `width` at once, keeping their order in the result. */
export async function inParallel(
  jobs: (() => Promise<Tally>)[],
  width: number,
  total: Tally,
  add: (total: Tally, part: Tally) => void,
): Promise<void> {
  const queue = [...jobs];
  const worker = async (): Promise<void> => {
    for (let job = queue.shift(); job; job = queue.shift()) add(total, await job());
  };
  await Promise.all(Array.from({ length: width }, worker));
}

export function shortName(path: string): string {
  return basename(path).replace(/\.test\.ts$/, '');
}
