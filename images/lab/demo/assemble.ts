/** Puts one move's report together from what the orchestrator, the client and the checks say. */
import type { Check } from './client/protocol.ts';
import type { NamedFrame } from './frames.ts';
import {
  type Commit,
  countInSpans,
  findGaps,
  gapIsClosed,
  msBetween,
  rateWithin,
  round,
  SETTLE_MS,
  sampleLatencies,
} from './gaps.ts';
import { type Moved, settledAt } from './migrate.ts';
import {
  type Environment,
  MAX_ERRORS,
  MAX_LATENCIES,
  MAX_SPANS,
  type Report,
  type Verification,
} from './report/schema.ts';
import { failuresOf } from './verdict.ts';

/** How much of the client's record the picture gets on either side of the attempt. */
const PICTURE_MS = 5000;
/** What the client's rate is compared with. */
const BEFORE_MS = 5000;
/** Of the client's rate over time; longer if a report would hold too many. */
const SPAN_MS = 250;
const NS_PER_MS = 1_000_000n;

export interface Evidence {
  readonly moved: Moved;
  readonly commits: readonly Commit[];
  /** When the client began to insert, since it was last paused. */
  readonly opened_ns: bigint;
  readonly check: Omit<Check, 'connection_survived'> &
    Pick<Report['client'], 'connection_survived'>;
  /** Errors of other clients. */
  readonly errors: readonly string[];
  readonly verification: Omit<Verification, 'rows'>;
  readonly environment: Environment;
  readonly differing_frames: readonly NamedFrame[];
}

export function assembleReport(evidence: Evidence): Report {
  const { moved, commits, check } = evidence;
  const attempt = attemptOf(moved);
  const { client, gap_before } = findGaps(commits, attempt, evidence.opened_ns);
  const closed = gapIsClosed(commits, attempt);
  const errors = [...check.errors, ...evidence.errors];
  if (!closed) errors.push('no commit succeeded after the attempt');
  const report: Report = {
    ...moved.report,
    downtime_ms: {
      ...moved.report.downtime_ms,
      // A gap that never ended has no length; 0 or the longest closed one would be a lie.
      client: client === null || !closed ? null : round(client),
      gap_before: gap_before === null ? null : round(gap_before),
    },
    client: {
      committed: check.committed,
      lost: check.lost,
      connection_survived: check.connection_survived,
      errors: errors.slice(0, MAX_ERRORS),
      throughput: throughputOf(commits, moved, evidence.opened_ns),
      commits_per_s: ratesOf(commits, moved, evidence.opened_ns),
      latencies: pictureOf(commits, moved),
    },
    verification: { rows: check.rows_agree, ...evidence.verification },
    environment: evidence.environment,
    differing_frames: [...evidence.differing_frames],
  };
  return { ...report, ok: failuresOf(report).length === 0 };
}

/** From the request until a retransmission must have reached the client. */
export function attemptOf(moved: Moved): { begin_ns: bigint; end_ns: bigint } {
  return {
    begin_ns: moved.begin_ns,
    end_ns: settledAt(moved) + BigInt(SETTLE_MS) * NS_PER_MS,
  };
}

function ratesOf(
  commits: readonly Commit[],
  moved: Moved,
  opened_ns: bigint,
): Report['client']['commits_per_s'] {
  const before = {
    begin_ns: later(moved.begin_ns - BigInt(BEFORE_MS) * NS_PER_MS, opened_ns),
    end_ns: moved.begin_ns,
  };
  const precopy = moved.report.phases.find(({ name }) => name === 'precopy');
  const at_ns = (ms: number) => moved.zero_ns + BigInt(Math.round(ms * 1e6));
  return {
    before: rateWithin(commits, before),
    precopy: precopy
      ? rateWithin(commits, {
          begin_ns: at_ns(precopy.start_ms),
          end_ns: at_ns(precopy.start_ms + precopy.duration_ms),
        })
      : null,
  };
}

/** From some seconds before the request to some after its end, rounds included. */
function throughputOf(
  commits: readonly Commit[],
  moved: Moved,
  opened_ns: bigint,
): Report['client']['throughput'] {
  const last_ns = commits.at(-1)?.end_ns ?? moved.end_ns;
  const range = {
    begin_ns: later(moved.begin_ns - BigInt(BEFORE_MS) * NS_PER_MS, opened_ns),
    end_ns: earlier(settledAt(moved) + BigInt(PICTURE_MS) * NS_PER_MS, last_ns),
  };
  const wide_ms = msBetween(range.begin_ns, range.end_ns) / MAX_SPANS;
  const step_ms = Math.max(SPAN_MS, Math.ceil(wide_ms / SPAN_MS) * SPAN_MS);
  const from_ms = round(msBetween(moved.zero_ns, range.begin_ns));
  return { from_ms, step_ms, commits: countInSpans(commits, range, step_ms).slice(0, MAX_SPANS) };
}

const later = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const earlier = (a: bigint, b: bigint): bigint => (a < b ? a : b);

function pictureOf(commits: readonly Commit[], moved: Moved): [number, number][] {
  const range = {
    begin_ns: moved.zero_ns - BigInt(PICTURE_MS) * NS_PER_MS,
    end_ns: settledAt(moved) + BigInt(PICTURE_MS) * NS_PER_MS,
  };
  return sampleLatencies(commits, range, moved.zero_ns, MAX_LATENCIES);
}
