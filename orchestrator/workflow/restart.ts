/** What becomes of the migrations that were under way when the last orchestrator ended. */
import type { ErrorCode } from '../../agent/wire/errors.ts';
import type { Fault, Migration, Report } from '../store/record.ts';
import type { Store } from '../store/store.ts';
import type { EventLog } from './events.ts';
import { isBeforeCommit, isFinal, type Outcome, ownerIn, transition } from './state.ts';

/**
 * The durable decision alone says how each ends. Without `commit` the source has thawed by itself.
 * After `go` the target owns the state, whether it was heard or not. In between it is in doubt: the
 * order to jump may have been sent or not. `standing.ts` answers the peers that come back, and
 * `loose-ends.ts` asks those that do not.
 */
export async function endUnfinished(store: Store, events: EventLog): Promise<Migration[]> {
  const ended: Migration[] = [];
  for (const migration of store.list()) {
    if (isFinal(migration.state)) continue;
    const record = await endOne(store, migration);
    const { report, owner, error } = record;
    events.add(record.id, 'end', { outcome: report?.outcome, owner, error, window_ms: null });
    ended.push(record);
  }
  return ended;
}

async function endOne(store: Store, migration: Migration): Promise<Migration> {
  const { id, state } = migration;
  if (isBeforeCommit(state) || state === 'aborting') {
    if (state !== 'aborting') await transition(store, id, state, 'aborting');
    const end = endAs(migration, 'rolled-back', 'restarted');
    return await transition(store, id, 'aborting', 'rolled-back', end);
  }
  if (state === 'going' || state === 'releasing') {
    const code = state === 'going' ? 'thaw-unconfirmed' : 'release-unconfirmed';
    return await transition(store, id, state, 'moved', endAs(migration, 'moved', code));
  }
  const end = endAs(migration, 'in-doubt', 'restarted-in-doubt');
  return await transition(store, id, state, 'in-doubt', end);
}

/** What is left to say when nobody has measured the attempt to its end. */
function endAs(
  { id, source, target, engine, warnings }: Migration,
  outcome: Outcome,
  code: ErrorCode,
): { error: Fault; report: Report } {
  const error = { code, detail: 'the orchestrator was restarted meanwhile' };
  const unknown = null;
  const report: Report = {
    id,
    source,
    target,
    ok: false,
    engine,
    owner: ownerIn(outcome),
    outcome,
    error,
    warnings,
    downtime_ms: { client: unknown, gap_before: unknown, window: unknown },
    phases: [],
    memory: {
      total_bytes: unknown,
      saveable_bytes: unknown,
      sent_bytes: unknown,
      sent_frozen_bytes: unknown,
    },
    check: null,
    client: unknown,
    verification: unknown,
    environment: unknown,
  };
  return { error, report };
}
