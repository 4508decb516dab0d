/** `--load oltp`: sysbench's read-write transactions over 8 connections, beside the inserter. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { PmsmError } from '../../../../agent/wire/errors.ts';
import type { Artefact } from '../../../cache.ts';
import { onInterrupt } from '../../../cleanup.ts';
import type { Step } from '../../../progress.ts';
import type { InNetwork } from './client.ts';
import { countErrors, type SysbenchTarget, sysbenchCommand } from './sysbench.ts';

/** 8 tables of 120 000 rows are about 270 MiB with their indexes. */
export const OLTP = { tables: 8, rows: 120_000, threads: 8 } as const;

/** sysbench needs an end; nobody moves a machine for longer. */
const RUN_LIMIT_S = 24 * 3600;
const STOP_LIMIT_MS = 10_000;
const KEPT_CHARACTERS = 1024 * 1024;
const CLIENT_LOST = /FATAL|Lost connection|gone away/;

export class Oltp {
  readonly #child: ChildProcess;
  readonly #forget: () => void;
  #output = '';
  #ended = false;
  #stopping = false;
  #reported = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#forget = onInterrupt(() => this.stop());
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        if (this.#output.length < KEPT_CHARACTERS || CLIENT_LOST.test(text)) this.#output += text;
      });
    }
    child.once('error', (error) => {
      this.#output += `FATAL: ${error.message}\n`;
    });
    child.once('close', () => {
      this.#ended = true;
    });
  }

  /** Makes and fills the tables; this takes minutes on an emulated machine. */
  static async prepare(
    artefact: Artefact,
    target: SysbenchTarget,
    inNetwork: InNetwork,
    step: Step,
  ): Promise<void> {
    const child = start(artefact, target, inNetwork, 'prepare');
    const forget = onInterrupt(() => kill(child));
    let said = '';
    let indexed = 0;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        said = (said + text).slice(-4096);
        indexed += text.split('Creating a secondary index').length - 1;
        step.detail(`${indexed} of ${target.tables} tables filled`);
      });
    }
    const [code] = await once(child, 'close');
    forget();
    if (code !== 0) throw new PmsmError('lab-failed', `sysbench prepare: ${lastLine(said)}`);
  }

  static run(artefact: Artefact, target: SysbenchTarget, inNetwork: InNetwork): Oltp {
    const options = [`--time=${RUN_LIMIT_S}`, '--report-interval=1'];
    return new Oltp(start(artefact, target, inNetwork, ...options, 'run'));
  }

  /** What went wrong since the last call: lost connections, or sysbench's early end. */
  errors(): string[] {
    const found: string[] = [];
    const { reconnects } = countErrors(this.#output);
    if (reconnects > this.#reported) found.push(`sysbench: ${reconnects} connections were lost`);
    this.#reported = reconnects;
    if (this.#ended && !this.#stopping) found.push(`sysbench: ended, ${lastLine(this.#output)}`);
    return found;
  }

  /** Stopped processes send nothing but keep their connections: rest for the disk, not a restart. */
  pause(): void {
    signalGroup(this.#child, 'SIGSTOP');
  }

  resume(): void {
    signalGroup(this.#child, 'SIGCONT');
  }

  async stop(): Promise<void> {
    this.#forget();
    if (this.#ended) return;
    this.#stopping = true;
    await kill(this.#child);
  }
}

function start(
  artefact: Artefact,
  target: SysbenchTarget,
  inNetwork: InNetwork,
  ...verb: string[]
): ChildProcess {
  const { argv, cwd, env } = sysbenchCommand(artefact, target, ...verb);
  const [file, ...args] = inNetwork(argv);
  return spawn(file, args, {
    cwd,
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  signalGroup(child, 'SIGTERM');
  signalGroup(child, 'SIGCONT');
  const timer = setTimeout(() => signalGroup(child, 'SIGKILL'), STOP_LIMIT_MS);
  await closed;
  clearTimeout(timer);
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // It has ended already.
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.slice(0, 500) ?? '';
}
