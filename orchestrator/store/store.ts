import type { Migration, MigrationEvent } from './record.ts';

/** What a caller asks for when a migration begins; the store adds generation and version. */
export type NewMigration = Omit<Migration, 'generation' | 'version'>;

/**
 * Durable records of migrations. One implementation keeps a journal on a local disk; a replicated
 * one needs only these calls. Reads answer from memory and never wait.
 */
export interface Store {
  /** Durable when it resolves; the generation is larger than that of every migration before it. */
  create(migration: NewMigration): Promise<Migration>;
  /**
   * Replaces the record of a migration, durable when it resolves. Rejects with `StaleVersion` if
   * the record was replaced since `expected_version`, and leaves everything as it was.
   */
  replace(migration: Migration, expected_version: number): Promise<Migration>;
  /** Shows a record that the disk could not take; the next start will not know it. */
  overlay(migration: Migration): void;
  get(id: string): Migration | undefined;
  /** Newest first. */
  list(): Migration[];
  /** Remembered at once, on disk soon: an event decides nothing. */
  addEvent(id: string, event: MigrationEvent): void;
  events(id: string): readonly MigrationEvent[];
  close(): Promise<void>;
}

/** Another writer was faster: the caller's view of the migration is out of date. */
export class StaleVersion extends Error {
  override name = 'StaleVersion';
}
