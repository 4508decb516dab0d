import { accessSync, constants, mkdirSync } from 'node:fs';
import { PmsmError } from '../../agent/wire/errors.ts';
import { type Journal, openJournal, requireSpace, rewriteJournal } from './journal.ts';
import { lockDirectory } from './lock.ts';
import type { MigrationEvent } from './record.ts';
import { EVENTS_PER_MIGRATION_MAX, isOpen, type Line, type Migration } from './record.ts';
import { type NewMigration, StaleVersion, type Store } from './store.ts';

/** Finished migrations that are remembered; those without an end always are. */
export const MIGRATIONS_KEPT_MAX = 200;
/** The journal is shortened at the start and before a migration once it is larger than this. */
export const REWRITE_BYTES = 8 * 1024 * 1024;

/** The contents of a journal, in memory. */
interface Contents {
  generation: number;
  migrations: Map<string, Migration>;
  events: Map<string, MigrationEvent[]>;
}

/** A `Store` in a directory of the local disk, which it locks. */
export class FileStore implements Store {
  readonly #directory: string;
  readonly #unlock: () => void;
  #journal: Journal;
  #contents: Contents;
  /** Writers take turns, so that a version is compared with what the one before has made durable. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(directory: string, unlock: () => void, journal: Journal, lines: Line[]) {
    this.#directory = directory;
    this.#unlock = unlock;
    this.#journal = journal;
    this.#contents = replay(lines);
  }

  static async open(directory: string): Promise<FileStore> {
    ensureDirectory(directory);
    const unlock = lockDirectory(directory);
    try {
      const { journal, lines } = await openJournal(directory);
      const store = new FileStore(directory, unlock, journal, lines);
      await store.#shorten();
      return store;
    } catch (error) {
      unlock();
      throw error;
    }
  }

  create(migration: NewMigration): Promise<Migration> {
    return this.#inTurn(async () => {
      await requireSpace(this.#directory);
      await this.#shorten();
      const generation = this.#contents.generation + 1;
      const record: Migration = { ...migration, generation, version: 1 };
      await this.#journal.append({ kind: 'migration', migration: record });
      this.#contents.generation = generation;
      this.#contents.migrations.set(record.id, record);
      return record;
    });
  }

  replace(migration: Migration, expected_version: number): Promise<Migration> {
    return this.#inTurn(async () => {
      const current = this.#contents.migrations.get(migration.id);
      if (current?.version !== expected_version) {
        const now = `version ${current?.version}, not ${expected_version}`;
        throw new StaleVersion(`migration ${migration.id} has ${now}`);
      }
      const record: Migration = { ...migration, version: expected_version + 1 };
      await this.#journal.append({ kind: 'migration', migration: record });
      this.#contents.migrations.set(record.id, record);
      return record;
    });
  }

  overlay(migration: Migration): void {
    this.#contents.migrations.set(migration.id, migration);
  }

  get(id: string): Migration | undefined {
    return this.#contents.migrations.get(id);
  }

  list(): Migration[] {
    return [...this.#contents.migrations.values()].reverse();
  }

  addEvent(id: string, event: MigrationEvent): void {
    const events = this.#contents.events.get(id) ?? [];
    if (events.length >= EVENTS_PER_MIGRATION_MAX) return;
    events.push(event);
    this.#contents.events.set(id, events);
    this.#journal.note({ kind: 'event', migration: id, event });
  }

  events(id: string): readonly MigrationEvent[] {
    return this.#contents.events.get(id) ?? [];
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.#journal.close();
    this.#unlock();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #shorten(): Promise<void> {
    if (this.#journal.size_bytes < REWRITE_BYTES) return;
    const kept = keepNewest(this.#contents);
    await this.#journal.close();
    try {
      await rewriteJournal(this.#directory, linesOf(kept));
    } finally {
      const { journal, lines } = await openJournal(this.#directory);
      this.#journal = journal;
      this.#contents = replay(lines);
    }
  }
}

function ensureDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC') throw new PmsmError('no-space', `${directory}: ${message}`);
    throw new PmsmError('bad-request', `state_dir ${directory} cannot be written: ${message}`);
  }
}

function replay(lines: Line[]): Contents {
  const contents: Contents = { generation: 0, migrations: new Map(), events: new Map() };
  for (const line of lines) {
    if (line.kind === 'generation') {
      contents.generation = Math.max(contents.generation, line.value);
    } else if (line.kind === 'migration') {
      contents.generation = Math.max(contents.generation, line.migration.generation);
      contents.migrations.set(line.migration.id, line.migration);
    } else {
      const events = contents.events.get(line.migration) ?? [];
      if (events.length < EVENTS_PER_MIGRATION_MAX) events.push(line.event);
      contents.events.set(line.migration, events);
    }
  }
  return contents;
}

/** An attempt in doubt, and one whose source was not let go yet, may still be asked about. */
function keepNewest(contents: Contents): Contents {
  const migrations = [...contents.migrations.values()];
  const dropped = migrations
    .filter(({ ended_at, state, decision }) => ended_at !== null && !isOpen({ state, decision }))
    .slice(0, -MIGRATIONS_KEPT_MAX);
  const gone = new Set(dropped.map(({ id }) => id));
  return {
    generation: contents.generation,
    migrations: new Map([...contents.migrations].filter(([id]) => !gone.has(id))),
    events: new Map([...contents.events].filter(([id]) => !gone.has(id))),
  };
}

function linesOf(contents: Contents): Line[] {
  const lines: Line[] = [{ kind: 'generation', value: contents.generation }];
  for (const migration of contents.migrations.values())
    lines.push({ kind: 'migration', migration });
  for (const [migration, events] of contents.events) {
    for (const event of events) lines.push({ kind: 'event', migration, event });
  }
  return lines;
}
