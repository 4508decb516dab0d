/** What takes phases back. None of these throws for a silent peer: silence is an outcome. */
import { PmsmError, toPmsmError } from '../../agent/wire/errors.ts';
import type { Attempt } from './attempt.ts';
import { targetIsIdle } from './check.ts';
import type { Site } from './site.ts';
import { transition } from './state.ts';

const AGENT_POLL_MS = 250;

/** The standby drops what it holds and waits again. */
export async function abortStandby(site: Site, attempt: Attempt): Promise<void> {
  const state = site.store.get(attempt.id)?.state;
  if (state !== 'aborting' && state !== 'reverting') return;
  const name = attempt.target_machine.name;
  attempt.standby.order({ type: 'abort', ...attempt.key, code: abortCode(attempt) });
  if (attempt.fenced) return;
  await attempt
    .until('the standby to wait again', site.patience.waiting_ms, () =>
      attempt.standby.said('waiting') || site.registry.standby(name)?.waiting ? true : undefined,
    )
    .catch((error: unknown) => {
      site.log.warn({ attempt: attempt.id, err: toPmsmError(error) }, 'standby did not answer');
    });
}

/**
 * Lets the source run. Before commit an order is only the quick way, for it thaws by itself when
 * its links break or nothing moves; after commit it waits for this order, which is given only once
 * `takeBack` has recorded that the source owns the state.
 */
export async function thawSource(site: Site, attempt: Attempt): Promise<void> {
  const { source } = attempt;
  const record = site.store.get(attempt.id);
  const afterCommit = record?.state === 'reverting' && record.decision === 'source';
  if (record?.state !== 'aborting' && !afterCommit) return;
  if (afterCommit) source.order({ type: 'thaw', ...attempt.key });
  else source.order({ type: 'abort', ...attempt.key, code: abortCode(attempt) });
  if (!attempt.freeze_ordered && !source.link) {
    attempt.source_runs = true;
    return;
  }
  const heard = await untilSourceRuns(site, attempt, afterCommit);
  attempt.source_runs = heard || !attempt.freeze_ordered;
}

/** A helper takes 0 for no abort at all. */
function abortCode({ failure }: Attempt): number {
  return (failure ?? new PmsmError('internal')).number;
}

/**
 * True if the source said that it has thawed, or its agent answers, which it can only when thawed.
 * A broken link is no proof.
 */
async function untilSourceRuns(
  site: Site,
  attempt: Attempt,
  afterCommit: boolean,
): Promise<boolean> {
  const wait_ms = attempt.migration.options.stall_ms + site.patience.thawed_ms;
  let agentAnswers = false;
  const timer = setInterval(async () => {
    if (!(await site.agents.answers(attempt.source_machine))) return;
    agentAnswers = true;
    attempt.wake();
  }, AGENT_POLL_MS);
  try {
    return await attempt.until('the source to thaw', wait_ms, () =>
      attempt.source.said('thawed') ||
      agentAnswers ||
      attempt.source_booted ||
      endedUnfrozen(attempt)
        ? true
        : undefined,
    );
  } catch (error) {
    const late = toPmsmError(error);
    site.log.warn({ attempt: attempt.id, err: late, afterCommit }, 'source did not report');
    return false;
  } finally {
    clearInterval(timer);
  }
}

/** A helper that ends before the window has nothing to thaw. */
function endedUnfrozen({ freeze_ordered, source }: Attempt): boolean {
  return !freeze_ordered && source.lost;
}

/**
 * Makes certain that the target does not run, and records that the source owns the state: after
 * this record `go` is impossible, so that the source can be ordered to thaw.
 *
 * The target does not run if it was never ordered to jump, if it says that it did not jump, if it
 * waits as a standby again, or if it was fenced. A target that is only silent may run at any
 * moment: without a fence the attempt is in doubt.
 */
export async function takeBack(site: Site, attempt: Attempt): Promise<void> {
  const state = site.store.get(attempt.id)?.state;
  if (state !== 'committed') return;
  // A standby that connects anew must not be told to jump any more.
  attempt.standby.standingOrder = undefined;
  if (!attempt.jump_ordered || targetIsIdle(attempt)) {
    await transition(site.store, attempt.id, 'committed', 'reverting', { decision: 'source' });
    return;
  }
  await transition(site.store, attempt.id, 'committed', 'fencing');
  site.events.add(attempt.id, 'note', { fencing: attempt.target_machine.name });
  const { confirmed_off, detail } = await site.fence(attempt.target_machine);
  attempt.fenced = confirmed_off;
  attempt.fence_detail = detail;
  site.events.add(attempt.id, 'note', { fence: detail, confirmed_off });
  if (!confirmed_off && !targetIsIdle(attempt)) return;
  await transition(site.store, attempt.id, 'fencing', 'reverting', { decision: 'source' });
}
