/**
 * Runs the phases of one migration.
 *
 * True at the end, whatever happened: the record is in a final state, and exactly one machine owns
 * the state, or the outcome is in doubt and neither acts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PmsmError, toPmsmError } from '../../agent/wire/errors.ts';
import { PHASE_BY_NAME, type PhaseName } from '../../agent/wire/phases.gen.ts';
import type { Fault, Migration, Report, State } from '../store/record.ts';
import { DETAIL_CHARACTERS_MAX, WARNINGS_MAX } from '../store/record.ts';
import { StaleVersion } from '../store/store.ts';
import type { Attempt } from './attempt.ts';
import { type PhaseWork, type Undo, WORK } from './phases.ts';
import { makeReport } from './report.ts';
import type { Site } from './site.ts';
import { isBeforeCommit, isFinal, type Outcome, ownerIn, showState, transition } from './state.ts';

const AGENT_POLL_MS = 100;

/** Failures in these change nothing that a user could notice. */
const HARMLESS: ReadonlySet<PhaseName> = new Set(['plan', 'preflight']);

export async function runMigration(site: Site, attempt: Attempt): Promise<Migration> {
  const reached: PhaseWork[] = [];
  try {
    for (const work of WORK) {
      if (work.when && !work.when(attempt)) continue;
      reached.push(work);
      await runPhase(site, attempt, work);
    }
  } catch (error) {
    await unwind(site, attempt, reached, error);
  }
  return await finish(site, attempt, reached);
}

async function runPhase(site: Site, attempt: Attempt, work: PhaseWork): Promise<void> {
  const { name } = work;
  attempt.beginPhase(name);
  site.events.add(attempt.id, 'phase', { phase: name, side: sideOf(name), edge: 'begin' });
  let failed = true;
  try {
    await work.do(site, attempt);
    failed = false;
  } finally {
    attempt.endPhase(name);
    const duration_ms = attempt.observedDuration_ms(name);
    const side = sideOf(name);
    site.events.add(attempt.id, 'phase', { phase: name, side, edge: 'end', duration_ms, failed });
  }
}

function sideOf(name: PhaseName): string {
  return PHASE_BY_NAME[name].side;
}

/** The one error tail: names the failure, then takes back what was reached, last phase first. */
async function unwind(
  site: Site,
  attempt: Attempt,
  reached: PhaseWork[],
  thrown: unknown,
): Promise<void> {
  const failure = nameFailure(site, attempt, thrown);
  const phase = reached.at(-1)?.name;
  site.events.add(attempt.id, 'note', {
    failed: phase,
    code: failure.code,
    detail: failure.detail,
  });
  site.log.warn({ attempt: attempt.id, phase, err: failure }, 'phase failed');
  attempt.failure = failure;
  try {
    await leaveForAborting(site, attempt);
    for (const undo of undosOf(reached)) await undo(site, attempt);
  } catch (error) {
    const second = toPmsmError(error);
    site.log.error({ attempt: attempt.id, err: second }, 'taking back failed');
    if (!isBeforeCommitRecord(site, attempt)) {
      attempt.failure = new PmsmError('record-failed', second.message, { cause: error });
    }
  }
  attempt.failure = await withHelpersWords(site, attempt, rootCause(attempt, attempt.failure));
}

/** Only a cancellation changes the state of a migration that runs. */
function nameFailure(site: Site, attempt: Attempt, thrown: unknown): PmsmError {
  const aborting = site.store.get(attempt.id)?.state === 'aborting';
  if (thrown instanceof StaleVersion && aborting) return new PmsmError('cancelled');
  return toPmsmError(thrown);
}

function isBeforeCommitRecord(site: Site, attempt: Attempt): boolean {
  return site.store.get(attempt.id)?.decision === 'none';
}

/** A cancellation has done this already. */
async function leaveForAborting(site: Site, attempt: Attempt): Promise<void> {
  const state = site.store.get(attempt.id)?.state;
  if (!state || !isBeforeCommit(state)) return;
  await transition(site.store, attempt.id, state, 'aborting').catch((error: unknown) => {
    // The source is thawed all the same; `finish` tells if the end could not be recorded either.
    if (!(error instanceof StaleVersion)) showState(site.store, attempt.id, 'aborting');
  });
}

function undosOf(reached: readonly PhaseWork[]): Undo[] {
  const undos = reached.map(({ undo }) => undo).filter((undo) => undo !== undefined);
  return [...new Set(undos.reverse())];
}

/**
 * A side that fails breaks the stream, and the other may be the first to say so. Whoever names
 * another cause than the broken stream is right; a source that is gone without a word is the cause.
 */
function rootCause(attempt: Attempt, failure: PmsmError): PmsmError {
  if (failure.code !== 'stream-failed' && failure.code !== 'stalled') return failure;
  const { source, standby } = attempt;
  if (standby.error && standby.error.code !== 'stream-failed') return standby.error;
  if (source.error && source.error.code !== 'stream-failed') return source.error;
  const thawedBy = attempt.thawedBy();
  if (thawedBy === 'stalled' || thawedBy === 'window-overrun') {
    return new PmsmError(thawedBy, source.error?.detail ?? '');
  }
  // A standby that names the broken stream lives, even if it is about to connect anew.
  const targetLives = standby.error !== undefined || !standby.lost;
  const wordless = !thawedBy && !source.error;
  if (wordless && source.lost && targetLives) return new PmsmError('source-lost');
  return failure;
}

/**
 * A source that thawed by itself sent a number only; its agent, thawed too, has the rest. Asked
 * until the helper has ended, so that the next attempt does not meet it.
 */
async function withHelpersWords(
  site: Site,
  attempt: Attempt,
  failure: PmsmError,
): Promise<PmsmError> {
  if (!attempt.helper_started || !attempt.source_runs) return failure;
  const deadline_ms = performance.now() + site.patience.helper_ends_ms;
  while (performance.now() < deadline_ms) {
    const view = await site.agents
      .attempt(attempt.source_machine, attempt.id)
      .catch(() => undefined);
    if (view && view.state !== 'running') {
      const says = failure.code === attempt.thawedBy() && view.detail !== '';
      return says ? new PmsmError(failure.code, view.detail) : failure;
    }
    await sleep(AGENT_POLL_MS);
  }
  return failure;
}

/** Which final state the one that was reached leads to. */
function outcomeOf(state: State, attempt: Attempt, failedIn: PhaseName | undefined): Outcome {
  if (isFinal(state)) return state;
  if (state === 'going' || state === 'releasing') return 'moved';
  if (state === 'aborting') return failedIn && HARMLESS.has(failedIn) ? 'refused' : 'rolled-back';
  if (state === 'reverting') return attempt.source_runs ? 'rolled-back' : 'in-doubt';
  return 'in-doubt';
}

async function finish(site: Site, attempt: Attempt, reached: PhaseWork[]): Promise<Migration> {
  const state = site.store.get(attempt.id)?.state ?? 'planned';
  const outcome = outcomeOf(state, attempt, reached.at(-1)?.name);
  const error = finalError(attempt, outcome);
  addWarnings(attempt, outcome);
  const report = makeReport(attempt, outcome, error);
  const record = await recordEnd(site, attempt, state, report);
  site.events.add(attempt.id, 'end', {
    outcome,
    owner: report.owner,
    error: report.error,
    window_ms: report.downtime_ms.window,
  });
  site.log.info({ attempt: attempt.id, outcome, error: error?.code }, 'migration ended');
  return record;
}

/** What the attempt is reported as, which the outcome can make more precise. */
function finalError(attempt: Attempt, outcome: Outcome): PmsmError | undefined {
  const { failure, fenced, fence_detail } = attempt;
  if (!failure || failure.code === 'release-unconfirmed') return undefined;
  if (failure.code === 'target-silent') {
    const code = fenced && outcome === 'rolled-back' ? 'fenced-target' : 'target-silent';
    return new PmsmError(code, [failure.detail, fence_detail].filter(Boolean).join('; '));
  }
  if (failure.code === 'commit-unanswered' && outcome === 'rolled-back') {
    return new PmsmError('already-thawed', 'it did not answer the commit');
  }
  return failure;
}

function addWarnings(attempt: Attempt, outcome: Outcome): void {
  const { failure, source_runs, migration, warnings } = attempt;
  if (failure?.code === 'release-unconfirmed') warnings.push(faultOf(failure));
  if (attempt.source_booted) {
    const detail = 'it boots from its disk, as after a power failure';
    warnings.push({ code: 'source-reset', detail });
  }
  if (outcome === 'rolled-back' && source_runs === false) {
    const { stall_ms } = migration.options;
    const detail = `the source was not heard since; it thaws by itself within ${stall_ms} ms`;
    warnings.push({ code: 'source-lost', detail });
  }
  if (outcome === 'in-doubt' && source_runs === false) {
    const detail = 'the target does not run; the source is ordered to thaw once it connects again';
    warnings.push({ code: 'commit-unanswered', detail });
  }
  warnings.splice(WARNINGS_MAX);
}

function faultOf({ code, detail }: PmsmError): Fault {
  return { code, detail: detail.slice(0, DETAIL_CHARACTERS_MAX) };
}

/** If the disk is full, the end is shown all the same; a restart then derives it again. */
async function recordEnd(
  site: Site,
  attempt: Attempt,
  state: State,
  report: Report,
): Promise<Migration> {
  const { error, warnings, outcome } = report;
  const changes = { error, warnings, report, owner: ownerIn(outcome) };
  try {
    if (state === outcome) throw new StaleVersion('it has ended already');
    return await transition(site.store, attempt.id, state, outcome, changes);
  } catch (failure) {
    site.log.error({ attempt: attempt.id, err: toPmsmError(failure) }, 'the end was not recorded');
    return showState(site.store, attempt.id, outcome, changes);
  }
}
