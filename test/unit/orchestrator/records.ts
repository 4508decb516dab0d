import { randomBytes } from 'node:crypto';
import { OptionsSchema } from '../../../orchestrator/store/record.ts';
import type { NewMigration } from '../../../orchestrator/store/store.ts';

export function newRecord(changes: Partial<NewMigration> = {}): NewMigration {
  const now = new Date().toISOString();
  return {
    id: randomBytes(16).toString('hex'),
    source: 'node1',
    target: 'node2',
    engine: 'full',
    options: OptionsSchema.parse({}),
    state: 'planned',
    decision: 'none',
    owner: 'source',
    error: null,
    warnings: [],
    created_at: now,
    updated_at: now,
    ended_at: null,
    report: null,
    ...changes,
  };
}
