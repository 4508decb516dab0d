/**
 * The disk behind a block server that writes down what each machine asks of it, for tests that look at the disk itself:
 * nbdkit with its log, one for each machine, both on the same file.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PmsmError } from '../../agent/wire/errors.ts';
import { end, identify, type ProcessId, tailOf, tether } from '../processes.ts';

const START_LIMIT_MS = 15_000;
const POLL_MS = 20;
/** What changes a disk; a flush does not. */
const CHANGES = 'Write|Zero|Trim';
const TIME = '^(\\d{4}-\\d\\d-\\d\\d) (\\d\\d:\\d\\d:\\d\\d)\\.(\\d{6})';
const PLACE = 'id=\\d+ offset=0x([0-9a-f]+) count=0x([0-9a-f]+)';
const LINE = new RegExp(`${TIME} .*?\\b(${CHANGES}) ${PLACE}`);

export interface Change {
  /** Wall time at which it was asked for. */
  readonly at_ns: bigint;
  readonly kind: string;
  readonly offset_bytes: number;
  readonly count_bytes: number;
}

export class DiskServer {
  readonly #log: string;
  readonly #socket: string;
  readonly #child: ChildProcess;
  readonly #id: ProcessId | undefined;

  private constructor(log: string, socket: string, child: ChildProcess) {
    this.#log = log;
    this.#socket = socket;
    this.#child = child;
    this.#id = child.pid === undefined ? undefined : identify(child.pid);
  }

  static async start(disk: string, machine: string, runDir: string): Promise<DiskServer> {
    const file = (what: string): string => resolve(runDir, `${machine}.disk.${what}`);
    const errors = openSync(file('errors'), 'w');
    const options = ['--foreground', '--exit-with-parent', '--unix', file('sock'), '--filter=log'];
    const argv = ['nbdkit', ...options, 'file', disk, `logfile=${file('log')}`];
    const [program, ...args] = tether(argv);
    const child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', errors, errors],
      env: { ...process.env, TZ: 'UTC' },
    });
    closeSync(errors);
    let missing = '';
    child.once('error', (error) => {
      missing = error.message;
    });
    child.unref();
    const server = new DiskServer(file('log'), file('sock'), child);
    for (const deadline = performance.now() + START_LIMIT_MS; !existsSync(file('sock')); ) {
      if (missing || child.exitCode !== null || performance.now() > deadline) {
        await server.stop();
        throw new PmsmError('lab-failed', `nbdkit: ${missing || tailOf(file('errors')).trim()}`);
      }
      await sleep(POLL_MS);
    }
    return server;
  }

  /** For a machine's drive. */
  get uri(): string {
    return `nbd+unix:///?socket=${this.#socket}`;
  }

  /** What has changed the disk so far, oldest first. */
  changes(): Change[] {
    return parseChanges(readFileSync(this.#log, 'utf8'));
  }

  async stop(): Promise<void> {
    if (this.#id && this.#child.exitCode === null) await end(this.#id, 'SIGKILL');
  }
}

/** nbdkit-log-filter(1): a line when a request begins, with microseconds, and one when it has been answered. */
export function parseChanges(log: string): Change[] {
  return log.split('\n').flatMap((line) => {
    const [, date, time, micros, kind = '', offset = '', count = ''] = LINE.exec(line) ?? [];
    if (date === undefined) return [];
    return {
      at_ns: BigInt(Date.parse(`${date}T${time}Z`)) * 1_000_000n + BigInt(micros ?? 0) * 1000n,
      kind,
      offset_bytes: Number.parseInt(offset, 16),
      count_bytes: Number.parseInt(count, 16),
    };
  });
}
