/**
 * From commit to release: the state changes its owner. Each decision is durable before the order
 * that it allows leaves this process.
 */
import { PmsmError, toPmsmError } from '../../agent/wire/errors.ts';
import { now_ns } from '../clock.ts';
import type { Attempt } from './attempt.ts';
import { requireBothSides, targetIsIdle } from './check.ts';
import { type Site, timeoutOf } from './site.ts';
import { transition } from './state.ts';

const STANDBY_AWAY_MS = 3000;
const CHECK_MS = 30_000;

export async function commit(site: Site, attempt: Attempt): Promise<void> {
  requireBothSides(attempt);
  await transition(site.store, attempt.id, 'frozen', 'committed', { decision: 'commit' });
  attempt.source.order({ type: 'commit', ...attempt.key });
  await attempt.until(
    'the source to give up',
    timeoutOf(site, 'commit'),
    () => {
      const { source } = attempt;
      if (source.said('given_up')) return true;
      if (source.said('thawed') || source.error) {
        throw new PmsmError('already-thawed', source.error?.message ?? '');
      }
      return undefined;
    },
    new PmsmError('commit-unanswered'),
  );
}

export async function jump(site: Site, attempt: Attempt): Promise<void> {
  const { standby, resumed } = attempt;
  // A standby that holds a whole image keeps it when its link breaks, and connects anew.
  await attempt.until(
    'the standby',
    STANDBY_AWAY_MS,
    () => standby.link,
    new PmsmError('target-lost', 'it was not there to be ordered to jump'),
  );
  attempt.jump_ordered = true;
  standby.order({ type: 'jump', ...attempt.key });
  await attempt.until(
    'the jump',
    timeoutOf(site, 'jump'),
    () => {
      if (targetIsIdle(attempt)) throw new PmsmError('not-jumped', notJumpedDetail(attempt));
      return resumed.link ?? resumed.said('alive');
    },
    new PmsmError('target-silent', 'it was ordered to jump and did not connect'),
  );
}

function notJumpedDetail(attempt: Attempt): string {
  const refused = attempt.standby.said('not_jumped');
  return refused ? `errno ${refused.system_errno}` : 'it waits as a standby again';
}

export async function alive(site: Site, attempt: Attempt): Promise<void> {
  await attempt.until(
    'the resumed machine',
    timeoutOf(site, 'alive'),
    () => {
      if (targetIsIdle(attempt)) throw new PmsmError('not-jumped', notJumpedDetail(attempt));
      return attempt.resumed.said('alive');
    },
    new PmsmError('target-silent', 'it has jumped, but did not report'),
  );
}

export async function go(site: Site, attempt: Attempt): Promise<void> {
  try {
    await transition(site.store, attempt.id, 'committed', 'going', { decision: 'go' });
  } catch (error) {
    const { message } = toPmsmError(error);
    throw new PmsmError('record-failed', message, { cause: error });
  }
  attempt.resumed.order({ type: 'go', ...attempt.key, realtime_ns: realtimeNow_ns(attempt) });
}

/** What the source's wall clock would show now, had it not stood still. */
function realtimeNow_ns(attempt: Attempt): bigint {
  const offset_ns = attempt.realtime_offset_ns;
  return offset_ns === undefined ? 0n : now_ns() + offset_ns;
}

export async function thaw(site: Site, attempt: Attempt): Promise<void> {
  await attempt.until(
    'the machine to thaw',
    timeoutOf(site, 'thaw'),
    () => attempt.resumed.said('thawed'),
    new PmsmError('thaw-unconfirmed'),
  );
  if (!attempt.migration.options.check) return;
  await attempt.until('the digests of memory', CHECK_MS, () => attempt.check.result());
}

/**
 * The machine has moved already: what fails here is told, and changes nothing. Until the record says
 * that the target runs, the source is the last copy, and stays.
 */
export async function release(site: Site, attempt: Attempt): Promise<void> {
  const action = site.config.release_action;
  try {
    await transition(site.store, attempt.id, 'going', 'releasing', { decision: 'release' });
  } catch (error) {
    throw new PmsmError('release-unconfirmed', toPmsmError(error).message, { cause: error });
  }
  attempt.source.order({ type: 'release', ...attempt.key, action });
  await attempt.until(
    'the vacated source',
    timeoutOf(site, 'release'),
    () => attempt.source.said('released'),
    new PmsmError('release-unconfirmed'),
  );
}
