/** Engine delta: memory goes over in rounds while the source works. */
import { PmsmError } from '../../agent/wire/errors.ts';
import type { MessageOf } from '../../agent/wire/wire.gen.ts';
import type { Attempt } from './attempt.ts';
import { requireBothSides } from './check.ts';
import { type Site, timeoutOf } from './site.ts';

export function isDelta(attempt: Attempt): boolean {
  return attempt.engine === 'delta';
}

/** The helper decides round by round, since only it sees what changes; here it is told the limits. */
export async function precopy(site: Site, attempt: Attempt): Promise<void> {
  const { downtime_limit_ms, rounds_max, bytes_per_s_max, throttle } = attempt.migration.options;
  attempt.source.link?.send({
    type: 'precopy',
    ...attempt.key,
    downtime_limit_ms,
    rounds_max,
    bytes_per_s: BigInt(bytes_per_s_max),
    throttle: throttle ? 1 : 0,
  });
  let shown: MessageOf<'round'> | undefined;
  await attempt.until('the rounds', timeoutOf(site, 'precopy'), () => {
    const round = attempt.source.said('round');
    if (round && round !== shown) {
      shown = round;
      site.events.add(attempt.id, 'round', describeRound(round));
    }
    requireBothSides(attempt);
    return attempt.source.said('precopied');
  });
  if (attempt.cancelled) throw new PmsmError('cancelled');
}

function describeRound(round: MessageOf<'round'>): Record<string, unknown> {
  const { number, state, throttled, elapsed_ms, predicted_downtime_ms } = round;
  const wire_bytes = Number(round.wire_bytes);
  return {
    number,
    state,
    throttled,
    elapsed_ms,
    frames: Number(round.frames),
    frames_total: Number(round.frames_total),
    changed: Number(round.changed),
    pages: Number(round.pages),
    wire_bytes,
    bytes_per_s: elapsed_ms > 0 ? Math.round((wire_bytes * 1000) / elapsed_ms) : null,
    predicted_downtime_ms: state === 'complete' ? predicted_downtime_ms : null,
  };
}
