/**
 * What a client saw: gaps between successful commits. All times are CLOCK_MONOTONIC nanoseconds
 * of the host, which the client, the orchestrator and this program share.
 */

/** One acknowledged row: when the client asked and when the server said yes. */
export interface Commit {
  readonly sequence: number;
  readonly begin_ns: bigint;
  readonly end_ns: bigint;
}

/** The attempt, from the POST until its effects must have shown. */
export interface Attempt {
  readonly begin_ns: bigint;
  readonly end_ns: bigint;
}

export interface Gaps {
  readonly client: number | null;
  readonly gap_before: number | null;
  /** The two commits around the gap, for the picture; null when there is none. */
  readonly client_between: readonly [Commit, Commit] | null;
}

/** A client may need this long after the thaw until a retransmission reaches it. */
export const SETTLE_MS = 2000;

const NS_PER_MS = 1e6;

export function msBetween(begin_ns: bigint, end_ns: bigint): number {
  return Number(end_ns - begin_ns) / NS_PER_MS;
}

/**
 * The longest gap that overlaps the attempt, and the longest one that lies before it. A gap that
 * begins before the attempt and ends in it counts as the attempt's: the client does not care.
 * `opened_ns` is the moment from which the client was ready to commit, so that a slow first commit
 * counts as a gap as well.
 */
export function findGaps(commits: readonly Commit[], attempt: Attempt, opened_ns?: bigint): Gaps {
  let client: number | null = null;
  let between: readonly [Commit, Commit] | null = null;
  let before: number | null = null;
  let previous: Commit | null =
    opened_ns === undefined ? null : { sequence: -1, begin_ns: opened_ns, end_ns: opened_ns };
  for (const commit of commits) {
    if (previous !== null) {
      const gap = msBetween(previous.end_ns, commit.end_ns);
      if (previous.end_ns < attempt.end_ns && commit.end_ns > attempt.begin_ns) {
        if (client === null || gap > client) {
          client = gap;
          between = [previous, commit];
        }
      } else if (commit.end_ns <= attempt.begin_ns && (before === null || gap > before)) {
        before = gap;
      }
    }
    previous = commit;
  }
  return { client, gap_before: before, client_between: between };
}

/**
 * True if a commit lies behind the attempt: without one the longest gap has no end yet and must
 * not be reported as a short downtime.
 */
export function gapIsClosed(commits: readonly Commit[], attempt: Attempt): boolean {
  const last = commits.at(-1);
  return last !== undefined && last.end_ns > attempt.end_ns;
}

/** Commits a second within a span; null for an empty one. */
export function rateWithin(commits: readonly Commit[], span: Attempt): number | null {
  const length_ms = msBetween(span.begin_ns, span.end_ns);
  if (length_ms <= 0) return null;
  const count = commits.filter((c) => c.end_ns > span.begin_ns && c.end_ns <= span.end_ns).length;
  return round((count / length_ms) * 1000);
}

/** Commits in each of the spans of `step_ms` that a range is made of. */
export function countInSpans(
  commits: readonly Commit[],
  range: Attempt,
  step_ms: number,
): number[] {
  const spans = Math.ceil(msBetween(range.begin_ns, range.end_ns) / step_ms);
  const counts = new Array<number>(Math.max(0, spans)).fill(0);
  for (const commit of commits) {
    const span = Math.floor(msBetween(range.begin_ns, commit.end_ns) / step_ms);
    if (counts[span] !== undefined) counts[span] += 1;
  }
  return counts;
}

/** At most `limit` latencies around the attempt, relative to `zero_ns`; slow commits never go. */
export function sampleLatencies(
  commits: readonly Commit[],
  range: Attempt,
  zero_ns: bigint,
  limit: number,
): [number, number][] {
  const inside = commits.filter((c) => c.end_ns >= range.begin_ns && c.begin_ns <= range.end_ns);
  const step = Math.ceil(inside.length / limit);
  const kept: [number, number][] = [];
  for (let first = 0; first < inside.length; first += step) {
    const slowest = inside
      .slice(first, first + step)
      .reduce((a, b) => (b.end_ns - b.begin_ns > a.end_ns - a.begin_ns ? b : a));
    kept.push([
      round(msBetween(zero_ns, slowest.begin_ns)),
      round(msBetween(slowest.begin_ns, slowest.end_ns)),
    ]);
  }
  return kept;
}

/** Hundredths of a millisecond are more than the clocks deserve. */
export function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
