import { randomBytes } from 'node:crypto';
import { PmsmError, toPmsmError } from '../../agent/wire/errors.ts';
import { type Machine, machineNamed } from '../config.ts';
import { type EngineChoice, isOpen, type Migration, type Options } from '../store/record.ts';
import { StaleVersion } from '../store/store.ts';
import { Attempt } from './attempt.ts';
import { runMigration } from './run.ts';
import type { Site } from './site.ts';
import { listenOn } from './standing.ts';
import { isBeforeCommit, transition } from './state.ts';

const CANCEL_TRIES_MAX = 8;

export interface MigrationRequest {
  source: string;
  target: string;
  engine: EngineChoice;
  options: Options;
}

/** Starts migrations, and ends them early. */
export class Workflow {
  readonly #site: Site;
  readonly #running = new Map<string, Promise<void>>();
  readonly #busy = new Set<string>();
  #closing = false;

  constructor(site: Site) {
    this.#site = site;
  }

  /** The record of a migration that has begun; it goes on by itself. */
  async start(request: MigrationRequest): Promise<Migration> {
    const { config, store, events, registry } = this.#site;
    const source = machineNamed(config, request.source);
    const target = machineNamed(config, request.target);
    this.requireDifferent(source, target);
    if (this.#closing) throw new PmsmError('conflict', 'the orchestrator is about to end');
    const names = [source.name, target.name];
    const taken = names.find((name) => this.#busy.has(name));
    if (taken) throw new PmsmError('conflict', taken);
    this.#requireSettled(names);
    for (const name of names) this.#busy.add(name);
    try {
      const migration = await store.create(newMigration(request));
      const attempt = new Attempt(migration, source, target);
      registry.addAttempt(attempt);
      events.add(migration.id, 'state', { state: migration.state });
      this.#running.set(migration.id, this.#run(attempt, names));
      return migration;
    } catch (error) {
      for (const name of names) this.#busy.delete(name);
      throw error;
    }
  }

  /**
   * As long as it is open which machine an earlier attempt ended on, neither takes part in another: who answers there
   * would be taken for the one that is looked for.
   */
  #requireSettled(names: string[]): void {
    const open = this.#site.store
      .list()
      .find(
        (one) => isOpen(one) && names.some((name) => name === one.source || name === one.target),
      );
    if (!open) return;
    throw new PmsmError(
      'conflict',
      `${open.id} of ${open.source} to ${open.target} is not settled`,
    );
  }

  requireDifferent(source: Machine, target: Machine | undefined): void {
    if (source.name === target?.name) throw new PmsmError('same-machine', source.name);
  }

  /**
   * Possible until commit: both sides name the state that they believe to leave, and one of them
   * is too late.
   */
  async cancel(id: string): Promise<Migration> {
    for (let tries = 0; tries < CANCEL_TRIES_MAX; tries++) {
      const migration = this.#site.store.get(id);
      if (!migration) throw new PmsmError('unknown-migration', id);
      if (migration.state === 'aborting') return migration;
      if (!isBeforeCommit(migration.state)) {
        throw new PmsmError('cannot-cancel', `it is ${migration.state}`);
      }
      try {
        return await this.#cancelFrom(migration);
      } catch (error) {
        if (!(error instanceof StaleVersion)) throw error;
      }
    }
    throw new PmsmError('cannot-cancel', 'it goes on too fast');
  }

  async #cancelFrom({ id, state }: Migration): Promise<Migration> {
    const cancelled = await transition(this.#site.store, id, state, 'aborting');
    this.#site.registry.attempt(id)?.cancel();
    return cancelled;
  }

  /** Resolves when nothing runs any more. Used by tests and by the end of the process. */
  async settled(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  /** Ends what can still be ended; what is past commit goes on to its end. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const id of this.#running.keys()) {
      await this.cancel(id).catch((error: unknown) => {
        this.#site.log.info({ id, err: toPmsmError(error) }, 'not cancelled');
      });
    }
    await this.settled();
  }

  async #run(attempt: Attempt, names: string[]): Promise<void> {
    try {
      await runMigration(this.#site, attempt);
    } catch (error) {
      this.#site.log.error({ attempt: attempt.id, err: toPmsmError(error) }, 'a migration broke');
    } finally {
      attempt.end();
      for (const link of this.#site.registry.removeAttempt(attempt)) listenOn(this.#site, link);
      for (const name of names) this.#busy.delete(name);
      this.#running.delete(attempt.id);
    }
  }
}

function newMigration(request: MigrationRequest): Omit<Migration, 'generation' | 'version'> {
  const now = new Date().toISOString();
  return {
    ...request,
    id: randomBytes(16).toString('hex'),
    state: 'planned',
    decision: 'none',
    owner: 'source',
    error: null,
    warnings: [],
    created_at: now,
    updated_at: now,
    ended_at: null,
    report: null,
  };
}
