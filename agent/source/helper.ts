/**
 * Runs `pmsm-freeze`. The helper leads the frozen phase on its own: it holds its own links, and
 * this process is frozen with all others. What it prints meanwhile waits in the pipe.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import type { Logger } from 'pino';
import { type ErrorCode, isErrorCode, PmsmError, toPmsmError } from '../wire/errors.ts';
import type { AttemptView, MachineIdentity, StartAttempt } from './api/schemas.ts';
import type { Machine } from './machine.ts';

export const LINES_MAX = 1000;
const LINE_CHARACTERS_MAX = 4096;
const RECOVER_TIMEOUT_MS = 30_000;
const ATTEMPTS_KEPT_MAX = 32;

/** Exit codes of `pmsm-freeze run`. */
const EXIT = { moved: 0, failed: 1, usage: 2, rolled_back: 4, held: 5 } as const;
const STATE_BY_EXIT: Readonly<Record<number, AttemptView['state']>> = {
  [EXIT.moved]: 'moved',
  [EXIT.failed]: 'failed',
  [EXIT.usage]: 'failed',
  [EXIT.rolled_back]: 'rolled-back',
  [EXIT.held]: 'held',
};

/** What its last line says: also of a deputy that went on after the helper had died (deputy.h). */
const STATE_BY_RESULT: Readonly<Record<string, AttemptView['state']>> = {
  moved: 'moved',
  failed: 'failed',
  'rolled-back': 'rolled-back',
};

export class Helper {
  readonly #path: string;
  readonly #machine: Machine;
  readonly #log: Logger;
  readonly #record: string | undefined;
  readonly #attempts = new Map<string, AttemptView>();
  #running: Promise<void> | undefined;

  /** `record` is where the disk says who owns it, if it does. */
  constructor(path: string, machine: Machine, log: Logger, record?: string) {
    this.#path = path;
    this.#machine = machine;
    this.#log = log;
    this.#record = record;
  }

  /** Starts an attempt; there is one at a time, since there is one /dev/snapshot. */
  start(request: StartAttempt): AttemptView {
    if (this.#running) throw new PmsmError('conflict', this.#machine.identity.name);
    if (this.#attempts.has(request.attempt_id)) {
      throw new PmsmError('conflict', `attempt ${request.attempt_id} has been made already`);
    }
    const attempt: AttemptView = {
      attempt_id: request.attempt_id,
      generation: request.generation,
      state: 'running',
      code: null,
      detail: '',
      lines: [],
    };
    this.#remember(attempt);
    this.#running = this.#run(request, attempt).finally(() => {
      this.#running = undefined;
    });
    return attempt;
  }

  attempt(id: string): AttemptView | undefined {
    return this.#attempts.get(id);
  }

  /**
   * Undoes what a helper that was killed has left behind; harmless if there is nothing. Then writes down that
   * this machine owns its disk, since it runs: after a boot in the middle of an attempt, say.
   */
  async recover(): Promise<void> {
    await this.#call(['recover']);
    if (this.#record === undefined) return;
    const { name } = this.#machine.identity;
    await this.#call(['owner', '--record', this.#record, '--settle', name]);
  }

  async #call(args: string[]): Promise<void> {
    const options = { reject: false, timeout: RECOVER_TIMEOUT_MS, stdin: 'ignore' } as const;
    const { failed, shortMessage } = await execa(this.#path, args, options);
    if (failed) this.#log.warn({ why: shortMessage }, `pmsm-freeze ${args[0]} failed`);
  }

  /** Resolves when no helper runs. */
  async settled(): Promise<void> {
    await this.#running;
  }

  #remember(attempt: AttemptView): void {
    this.#attempts.set(attempt.attempt_id, attempt);
    const oldest = this.#attempts.keys().next().value;
    if (this.#attempts.size > ATTEMPTS_KEPT_MAX && oldest) this.#attempts.delete(oldest);
  }

  async #run(request: StartAttempt, attempt: AttemptView): Promise<void> {
    try {
      const { name, address, prefix } = request.target;
      this.#machine.prepareMove(request.attempt_id, name, address, prefix);
      const files = { identity: this.#machine.path, record: this.#record };
      const args = argumentsOf(this.#machine.identity, request, files);
      const result = await this.#runHelper(args, attempt);
      await this.#conclude(request, attempt, result);
    } catch (error) {
      attempt.state = 'failed';
      attempt.code = 'internal';
      attempt.detail = toPmsmError(error).detail;
      this.#log.error({ err: error }, 'the helper could not be watched');
    }
    const { attempt_id, state, code } = attempt;
    this.#log.info({ attempt: attempt_id, state, code }, 'helper ended');
  }

  async #runHelper(args: string[], attempt: AttemptView): Promise<HelperEnd> {
    const child = execa(this.#path, args, {
      reject: false,
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'inherit',
      buffer: false,
      // If this process dies, the helper must go on: it may hold a machine that has given up.
      cleanup: false,
      detached: true,
    });
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => keepLine(attempt, line));
    // Not before: a deputy may still have something to say when the helper is dead.
    const [{ exitCode, signal, failed, shortMessage }] = await Promise.all([
      child,
      once(lines, 'close'),
    ]);
    return { exitCode, signal, detail: failed ? (shortMessage ?? '') : '' };
  }

  async #conclude(request: StartAttempt, attempt: AttemptView, end: HelperEnd): Promise<void> {
    const last = attempt.lines.findLast(({ result }) => typeof result === 'string');
    this.#machine.forgetMove(request.attempt_id);
    const said =
      end.exitCode === undefined
        ? STATE_BY_RESULT[String(last?.result)]
        : STATE_BY_EXIT[end.exitCode];
    // A helper that dies after go has moved all the same, and its guard has done the rest.
    const there = this.#machine.identity.name === request.target.name;
    const state = said ?? (there ? 'moved' : undefined);
    attempt.detail = String(last?.detail ?? end.detail).slice(0, 2048);
    attempt.code = state === 'moved' ? null : errorCodeOf(last?.code, end);
    if (said === undefined) {
      this.#log.error({ ...end }, 'the helper died; taking back what it left');
      await this.recover();
    }
    attempt.state = state ?? 'failed';
  }
}

interface HelperEnd {
  exitCode: number | undefined;
  signal: string | undefined;
  detail: string;
}

function errorCodeOf(code: unknown, { exitCode }: HelperEnd): ErrorCode {
  if (isErrorCode(code)) return code;
  if (exitCode === undefined) return 'source-lost';
  return exitCode === EXIT.held ? 'commit-unanswered' : 'internal';
}

type Line = AttemptView['lines'][number];

function keepLine(attempt: AttemptView, line: string): void {
  if (line.length > LINE_CHARACTERS_MAX || attempt.lines.length >= LINES_MAX) return;
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
    attempt.lines.push(value as Line);
  } catch {
    // Not one of the lines that a program is to read.
  }
}

/** The command line of one attempt. */
export function argumentsOf(
  machine: MachineIdentity,
  request: StartAttempt,
  files: { identity: string; record: string | undefined },
): string[] {
  const { target, orchestrator, options } = request;
  const { identity, record } = files;
  const names = ['--machine', machine.name, '--target-machine', target.name];
  return [
    'run',
    ...['--attempt', request.attempt_id],
    ...['--generation', String(request.generation)],
    ...['--interface', machine.interface],
    ...['--address', `${machine.address}/${machine.prefix}`],
    ...['--orchestrator', `${orchestrator.address}:${orchestrator.port}`],
    ...['--target', `${target.address}:${target.port}`],
    ...['--target-address', `${target.address}/${target.prefix}`],
    ...['--target-mac', target.mac],
    ...['--identity', identity],
    ...(record === undefined ? [] : ['--record', record, ...names]),
    ...(machine.single_nic ? ['--single-nic'] : []),
    ...['--engine', options.engine],
    ...['--codec', options.codec],
    ...['--stall-ms', String(options.stall_ms)],
    ...(options.threads === undefined ? [] : ['--threads', String(options.threads)]),
    ...(options.keep_cache ? ['--keep-cache'] : []),
    ...(options.check ? ['--check'] : []),
  ];
}
