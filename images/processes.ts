/** Running programs so that none outlives us: each in its own process group, ended by group, and by the kernel. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, statSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { onInterrupt } from './cleanup.ts';

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** A file to which both outputs are appended. */
  log?: string;
  /** Gets each whole line of either output. */
  onLine?: (line: string) => unknown;
  input?: string;
}

export interface ProcessId {
  pid: number;
  /** Start time in clock ticks after boot: with the pid it names a process for ever. */
  started: string;
}

/** Standard output is kept up to this length; a build's goes to its log in full. */
const OUTPUT_LIMIT = 16 * 1024 * 1024;
const ERROR_TAIL = 4096;
const TERMINATE_GRACE_MS = 3000;

export class CommandError extends Error {
  readonly argv: string[];
  readonly exitCode: number | null;
  readonly stderr: string;
  constructor(argv: string[], exitCode: number | null, stderr: string) {
    const last = stderr.trim().split('\n').at(-1) ?? '';
    super(`${argv.join(' ')} failed (${exitCode ?? 'signal'})${last ? `: ${last}` : ''}`);
    this.argv = argv;
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}

/** A program of its own process group that the kernel ends when we die: `setpriv` stays in front of no one. */
export function tether(argv: string[], signal: 'KILL' | 'TERM' = 'KILL'): [string, ...string[]] {
  return ['setpriv', '--pdeathsig', signal, '--', ...argv];
}

/** Runs a program to its end and returns its standard output; throws CommandError unless it exits with 0. */
export async function run(argv: string[], options: RunOptions = {}): Promise<string> {
  const [file, ...args] = tether(argv, 'TERM');
  const log = options.log === undefined ? undefined : openSync(options.log, 'a');
  if (log !== undefined) writeSync(log, `\n$ ${argv.join(' ')}\n`);
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const forget = onInterrupt(() => endGroup(child));
  // A program that does not read its input is not an error of ours.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  let output = '';
  let errors = '';
  // One splitter an output, so that a half line of one is not joined with the other's.
  const [fromOutput, fromErrors] = [lineSplitter(options.onLine), lineSplitter(options.onLine)];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (log !== undefined) writeSync(log, text);
    if (output.length < OUTPUT_LIMIT) output += text;
    fromOutput(text);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (log !== undefined) writeSync(log, text);
    errors = (errors + text).slice(-ERROR_TAIL);
    fromErrors(text);
  });
  try {
    const exitCode = await ended(child);
    if (exitCode !== 0) throw new CommandError(argv, exitCode, errors);
    return output;
  } finally {
    forget();
    if (log !== undefined) closeSync(log);
  }
}

function lineSplitter(onLine: RunOptions['onLine']): (text: string) => void {
  if (!onLine) return () => undefined;
  let rest = '';
  return (text) => {
    const parts = (rest + text).split('\n');
    rest = (parts.pop() ?? '').slice(-ERROR_TAIL);
    for (const line of parts) onLine(line);
  };
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code));
  });
}

async function endGroup(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  signalGroup(child.pid, 'SIGTERM');
  await Promise.race([gone, sleep(TERMINATE_GRACE_MS, undefined, { ref: false })]);
  signalGroup(child.pid, 'SIGKILL');
  await Promise.race([gone, sleep(TERMINATE_GRACE_MS, undefined, { ref: false })]);
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The group has ended already.
  }
}

/** Names a running process so that a later one with the same pid is not mistaken for it. */
export function identify(pid: number): ProcessId | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // The fields after the name start with the third; the start time is the 22nd.
    if (fields[0] === 'Z') return undefined;
    return { pid, started: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}

export function isAlive(id: ProcessId): boolean {
  return identify(id.pid)?.started === id.started;
}

/** Ends a process by its identity and waits until it is gone. */
export async function end(id: ProcessId, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  const deadline_ms = performance.now() + TERMINATE_GRACE_MS;
  let next = signal;
  while (isAlive(id)) {
    try {
      process.kill(id.pid, next);
    } catch {
      return;
    }
    await sleep(20);
    if (performance.now() > deadline_ms) next = 'SIGKILL';
    if (performance.now() > deadline_ms + TERMINATE_GRACE_MS) return;
  }
}

/** The last bytes of a log, for an error message. */
export function tailOf(file: string, bytes = 2000): string {
  try {
    const size = statSync(file).size;
    const buffer = Buffer.alloc(Math.min(bytes, size));
    const descriptor = openSync(file, 'r');
    readSync(descriptor, buffer, 0, buffer.length, size - buffer.length);
    closeSync(descriptor);
    return buffer.toString('utf8');
  } catch {
    return '';
  }
}
