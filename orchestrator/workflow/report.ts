import type { PmsmError } from '../../agent/wire/errors.ts';
import { DETAIL_CHARACTERS_MAX, type Report } from '../store/record.ts';
import type { Attempt } from './attempt.ts';
import { type Outcome, ownerIn } from './state.ts';
import { makeTimeline } from './timeline.ts';

/** What is known from here. What only a client or the lab can measure is null, for them to fill. */
export function makeReport(
  attempt: Attempt,
  outcome: Outcome,
  error: PmsmError | undefined,
): Report {
  const { phases, window_ms } = makeTimeline(attempt);
  const { migration, warnings } = attempt;
  return {
    id: attempt.id,
    source: migration.source,
    target: migration.target,
    ok: outcome === 'moved' && error === undefined,
    engine: attempt.engine ?? migration.engine,
    owner: ownerIn(outcome),
    outcome,
    error: error
      ? { code: error.code, detail: error.detail.slice(0, DETAIL_CHARACTERS_MAX) }
      : null,
    warnings: [...warnings],
    downtime_ms: { client: null, gap_before: null, window: window_ms },
    phases,
    memory: memoryOf(attempt),
    check: attempt.check.result() ?? null,
    client: null,
    verification: null,
    environment: null,
  };
}

/** 0 on the wire means that the helper does not know. */
function memoryOf({ source, inventory }: Attempt): Report['memory'] {
  const prepared = source.said('prepared');
  const sent = source.said('sent');
  return {
    total_bytes: known(prepared?.total_bytes) ?? inventory?.facts.memory.total_bytes ?? null,
    saveable_bytes: known(sent?.saveable_bytes),
    sent_bytes: known(sent?.wire_bytes_total),
    sent_frozen_bytes: known(sent?.wire_bytes),
  };
}

function known(bytes: bigint | undefined): number | null {
  return bytes ? Number(bytes) : null;
}
