/**
 * What the clients do while the machine moves: the inserter always, sysbench on request. The load `churn` is
 * the inserter, and beside it a service on the machine (run.ts).
 */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PmsmError } from '../../../agent/wire/errors.ts';
import type { Progress } from '../../progress.ts';
import { Client, type InNetwork } from './client/client.ts';
import { MAX_ROWS } from './client/ledger.ts';
import { OLTP, Oltp } from './client/oltp.ts';
import type { Check } from './client/protocol.ts';
import { sysbench } from './client/sysbench.ts';
import type { Commit } from './gaps.ts';
import type { DemoOptions } from './options.ts';

/** As images/disk/customize.sh made it. The database's network is the lab's alone. */
const DATABASE = {
  host: '10.0.0.1',
  port: 3306,
  user: 'pmsm',
  password: 'pmsm',
  database: 'pmsm',
} as const;

const QUERY_TIMEOUT_MS = 60_000;
/** A client that may connect anew does not wait longer for an answer. */
const PATIENCE_MS = 2000;
const POLL_MS = 100;

export class Load {
  readonly #client: Client;
  readonly #oltp: Oltp | null;

  private constructor(client: Client, oltp: Oltp | null) {
    this.#client = client;
    this.#oltp = oltp;
  }

  static async start(
    kind: DemoOptions['load'],
    runDir: string,
    inNetwork: InNetwork,
    progress: Progress,
    connection: 'kept' | 'reconnect' = 'kept',
  ): Promise<Load> {
    const oltp = kind === 'oltp' ? await startOltp(inNetwork, progress) : null;
    const config = {
      ...DATABASE,
      record_path: resolve(runDir, 'commits'),
      max_rows: MAX_ROWS,
      query_timeout_ms: connection === 'kept' ? QUERY_TIMEOUT_MS : PATIENCE_MS,
      reconnect: connection === 'reconnect',
    };
    try {
      return new Load(await Client.start(config, inNetwork), oltp);
    } catch (error) {
      await oltp?.stop();
      throw error;
    }
  }

  get opened_ns(): bigint {
    return this.#client.opened_ns;
  }

  commits(): Commit[] {
    return this.#client.commits();
  }

  /** Waits until a row is committed after a moment; false if the client fails or takes too long. */
  async commitsAfter(moment_ns: bigint, limit_ms: number): Promise<boolean> {
    for (const deadline = performance.now() + limit_ms; performance.now() < deadline; ) {
      const last = this.#client.lastCommit();
      if (last !== undefined && last.end_ns > moment_ns) return true;
      if (this.#client.lastFailure !== '') return false;
      await sleep(POLL_MS);
    }
    return false;
  }

  /** All clients rest; every acknowledged row is compared over the one connection. */
  async rest(): Promise<Check> {
    this.#oltp?.pause();
    return await this.#client.check();
  }

  async resume(): Promise<void> {
    this.#oltp?.resume();
    await this.#client.resume();
  }

  /** Errors of all clients but the inserter, which tells its own in the check. */
  errors(): string[] {
    return this.#oltp?.errors() ?? [];
  }

  async stop(): Promise<void> {
    await Promise.all([this.#client.stop(), this.#oltp?.stop()]);
  }
}

async function startOltp(inNetwork: InNetwork, progress: Progress): Promise<Oltp> {
  const artefact = await sysbench(progress);
  const target = { ...DATABASE, ...OLTP };
  await progress.step('Filling the tables of sysbench', (step) =>
    Oltp.prepare(artefact, target, inNetwork, step),
  );
  const oltp = Oltp.run(artefact, target, inNetwork);
  await sleep(1000);
  const [error] = oltp.errors();
  if (error !== undefined) throw new PmsmError('lab-failed', error);
  return oltp;
}
