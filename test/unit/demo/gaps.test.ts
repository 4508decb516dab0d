import t from 'tap';
import {
  type Commit,
  countInSpans,
  findGaps,
  gapIsClosed,
  rateWithin,
  sampleLatencies,
} from '../../../images/lab/demo/gaps.ts';

/** Commits that end at the given milliseconds and took 1 ms each. */
function commitsAt(...ends_ms: number[]): Commit[] {
  return ends_ms.map((end, sequence) => ({
    sequence,
    begin_ns: BigInt(end - 1) * 1_000_000n,
    end_ns: BigInt(end) * 1_000_000n,
  }));
}

function attempt(begin_ms: number, end_ms: number) {
  return { begin_ns: BigInt(begin_ms) * 1_000_000n, end_ns: BigInt(end_ms) * 1_000_000n };
}

t.test('the longest gap that overlaps the attempt', async (t) => {
  const gaps = findGaps(commitsAt(0, 10, 60, 100, 110, 3500, 3510, 9000), attempt(105, 4000));
  t.equal(gaps.client, 5490, 'begins inside, ends behind: still overlaps');
  t.equal(gaps.gap_before, 50);
  t.equal(gaps.client_between?.[0].sequence, 6);
});

t.test('a gap that begins before the attempt and ends in it belongs to the attempt', async (t) => {
  const gaps = findGaps(commitsAt(0, 10, 900, 910), attempt(500, 950));
  t.equal(gaps.client, 890);
  t.equal(gaps.gap_before, 10);
});

t.test('gaps behind the attempt do not count', async (t) => {
  const gaps = findGaps(commitsAt(0, 100, 110, 120, 9000), attempt(50, 115));
  t.equal(gaps.client, 100);
  t.equal(gaps.gap_before, null);
});

t.test('a slow first commit counts from the moment the client was ready', async (t) => {
  const gaps = findGaps(commitsAt(700, 710, 800), attempt(705, 900), 0n);
  t.equal(gaps.gap_before, 700);
  t.equal(gaps.client, 90);
});

t.test('nothing committed: nothing measured', async (t) => {
  t.match(findGaps([], attempt(0, 1)), { client: null, gap_before: null, client_between: null });
  t.equal(gapIsClosed([], attempt(0, 1)), false);
});

t.test('an open gap is recognised', async (t) => {
  t.equal(gapIsClosed(commitsAt(0, 10), attempt(5, 20)), false);
  t.equal(gapIsClosed(commitsAt(0, 10, 21), attempt(5, 20)), true);
});

t.test('sampling keeps the slowest of each group and the limit', async (t) => {
  const commits = commitsAt(...Array.from({ length: 1000 }, (_, i) => 10 + i * 10));
  const slow = { sequence: 1000, begin_ns: 5_001_000_000n, end_ns: 5_009_000_000n };
  const all = [...commits.slice(0, 500), slow, ...commits.slice(500)];
  const kept = sampleLatencies(all, attempt(0, 20_000), 1_000_000_000n, 100);
  t.ok(kept.length <= 100);
  t.strictSame(
    kept.find(([, latency]) => latency === 8),
    [4001, 8],
  );
});

t.test('commits a second within a span', async (t) => {
  const commits = commitsAt(100, 200, 300, 400, 500);
  t.equal(rateWithin(commits, attempt(100, 400)), 10, 'the end counts, the beginning does not');
  t.equal(rateWithin(commits, attempt(600, 1600)), 0);
  t.equal(rateWithin(commits, attempt(300, 300)), null, 'no time, no rate');
});

t.test('commits in spans: the last one may be short', async (t) => {
  const commits = commitsAt(-10, 5, 100, 249, 250, 990, 2000);
  t.strictSame(countInSpans(commits, attempt(0, 1100), 250), [3, 1, 0, 1, 0]);
  t.strictSame(countInSpans(commits, attempt(5, 5), 250), []);
});
