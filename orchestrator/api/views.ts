import type { Registry } from '../control/registry.ts';
import type { Migration } from '../store/record.ts';
import { isFinal } from '../workflow/state.ts';
import type { MigrationView } from './schemas.ts';

export function toView(migration: Migration, registry: Registry): MigrationView {
  const { version: _version, report: _report, ...shown } = migration;
  const attempt = registry.attempt(migration.id);
  const running = attempt && [...attempt.observed].find(([, { end_ns }]) => end_ns === undefined);
  return {
    ...shown,
    phase: running?.[0] ?? null,
    outcome: isFinal(migration.state) ? migration.state : null,
  };
}
