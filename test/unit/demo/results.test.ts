import t from 'tap';
import { median } from '../../../images/lab/demo/report/median.ts';
import { renderResults, summariseRun } from '../../../images/lab/demo/results.ts';
import { describeEvent, exitCodeOf, tellVerdict } from '../../../images/lab/demo/talk.ts';
import { makeFile } from '../../../images/lab/demo/verdict.ts';
import { refusedReport, sampleReport } from './sample.ts';

const PLACES = { runs: 'node2', logs: '/run/logs', page: 'report.html' };

t.test('median', async (t) => {
  t.equal(median([]), null);
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 2, 3]), 2.5);
});

t.test('a run as a line of the table', async (t) => {
  const slow = sampleReport();
  slow.downtime_ms.client = 5160.3;
  const file = makeFile([sampleReport(), slow], 2);
  const result = summariseRun('two', ['--moves', '2'], [file], { exit: 0, seconds: 60 });
  t.match(result, { ok: true, client_ms: [3160.3, 5160.3], lost: 0, failures: [] });
  const text = renderResults('Results', [result]);
  t.match(text, '| two | `--moves 2` | 2 | 4.16 s | 5.16 s | 2.98 s | 276 MiB |  | 2841 / 0 |');
  t.notMatch(text, 'What did not hold');
});

t.test('a run that failed says why, and one without moves is no success', async (t) => {
  const file = makeFile([refusedReport()], 1);
  const failed = summariseRun('bad', [], [file], { exit: 3, seconds: 1 });
  t.match(renderResults('Results', [failed]), /no \(exit 3\)/);
  t.match(
    renderResults('Results', [failed]),
    '- bad: move 1: kernel-mismatch: 6.12.107-1 and 6.12.110-1',
  );
  const empty = summariseRun('none', [], [makeFile([], 1)], { exit: 2, seconds: 1 });
  t.equal(empty.ok, false);
  const crashed = summariseRun('x', [], [makeFile([sampleReport()], 1)], { exit: 1, seconds: 1 });
  t.equal(crashed.ok, false, 'the exit code counts as well');
});

t.test('several demos in one line, judged by limits', async (t) => {
  const slow = sampleReport();
  slow.downtime_ms.client = 5160.3;
  const files = [sampleReport(), slow, sampleReport()].map((report) => makeFile([report], 1));
  const limited = (median_ms: number, longest_ms: number) =>
    summariseRun('three', [], files, { exit: 0, seconds: 9, limits: { median_ms, longest_ms } });
  t.match(limited(5000, 7000), { ok: true, times: 3, moves: 3, rows: 3 * 2841, failures: [] });
  t.match(renderResults('Results', [limited(5000, 7000)]), '| three | 3 x | 3 | 3.16 s | 5.16 s |');
  t.match(limited(5000, 5000), {
    ok: false,
    failures: ['the client saw 5.16 s, more than 5.00 s'],
  });
  t.match(limited(3000, 7000), { ok: false, failures: [/the median for the client is 3.16 s/] });
  t.equal(summariseRun('nothing', [], [], { exit: 0, seconds: 0 }).ok, false);
});

t.test('exit codes', async (t) => {
  t.equal(exitCodeOf(makeFile([sampleReport()], 1)), 0);
  t.equal(exitCodeOf(makeFile([], 1)), 1);
  t.equal(exitCodeOf(makeFile([refusedReport()], 1)), 3);
  const back = { ...refusedReport(), outcome: 'rolled-back' as const };
  t.equal(exitCodeOf(makeFile([back], 1)), 4);
  t.equal(exitCodeOf(makeFile([{ ...back, outcome: 'in-doubt' as const }], 1)), 5);
  t.equal(exitCodeOf(makeFile([{ ...sampleReport(), ok: false }], 1)), 1);
});

t.test('the verdict names the machine that runs, the remedy and the logs', async (t) => {
  const text = tellVerdict(makeFile([refusedReport()], 1), 1, PLACES);
  t.match(text, 'node2');
  t.match(text, '/run/logs');
  t.match(text, "Boot the standby with the source's kernel.");
  t.match(tellVerdict(makeFile([refusedReport()], 1), 1, { ...PLACES, runs: null }), 'In doubt');
  t.match(tellVerdict(makeFile([sampleReport()], 1), 1, PLACES), 'All holds: 1 move, nothing lost');
  t.match(tellVerdict(makeFile([sampleReport()], 3), 3, PLACES), '1 of 3 moves were made');
});

t.test('events as lines', async (t) => {
  const base = { sequence: 1, at: '2026-11-21T06:00:00.000Z', elapsed_ms: 1 };
  const event = (kind: 'phase' | 'note' | 'end' | 'measure', data: Record<string, unknown>) =>
    describeEvent({ ...base, kind, data });
  t.equal(event('phase', { phase: 'freeze', edge: 'begin' }), 'freeze');
  t.equal(event('phase', { phase: 'freeze', edge: 'end' }), null);
  t.equal(
    event('note', { failed: 'send', code: 'stalled', detail: '2 s' }),
    'send failed: stalled 2 s',
  );
  t.equal(event('end', { outcome: 'moved', owner: 'target' }), 'moved, owner: target');
  t.equal(event('measure', { rate: 1 }), null);
});

t.test('frames that differ are counted by reason', async (t) => {
  const checked = sampleReport();
  checked.check = {
    compared: 1000,
    differing: 3,
    one_sided: 0,
    frames: [1, 2, 3].map((pfn) => ({ pfn, how: 'copied' as const })),
    stack: [1, 2],
    percpu: [],
  };
  checked.differing_frames = [
    { pfn: 1, how: 'copied', where: 'stack', names: [], reason: 'the stack' },
    { pfn: 2, how: 'copied', where: 'stack', names: [], reason: 'the stack' },
    { pfn: 3, how: 'sealed', where: 'other', names: ['anon'], reason: null },
  ];
  checked.verification.frames = false;
  const files = [makeFile([checked, checked], 2)];
  const text = renderResults('R', [summariseRun('c', [], files, { exit: 1, seconds: 1 })]);
  t.match(text, '2 moves were checked; 1000 to 1000 page frames');
  t.match(text, '| stack: the stack | 2 |');
  t.match(text, '| other: frame 3 (sealed), for no known reason | 2 |');
  t.match(text, 'move 1: 1 page frames differ without a reason, first: 3 (sealed)');
});

t.test(
  "the client's rate in the rounds is a part of the one before, and can be too low",
  async (t) => {
    const report = sampleReport();
    report.client.commits_per_s = { before: 200, precopy: 150 };
    const files = [makeFile([report], 1)];
    const judged = (precopy_rate_min: number) =>
      summariseRun('r', [], files, { exit: 0, seconds: 1, limits: { precopy_rate_min } });
    t.match(judged(0.7), { ok: true, precopy_rate: [0.75] });
    t.match(judged(0.8), {
      ok: false,
      failures: ["the client's rate in the rounds is 75 %, not 80 %"],
    });
    t.match(renderResults('R', [judged(0.7)]), '| 75 % |');
    const unknown = [makeFile([sampleReport()], 1)];
    const limits = { precopy_rate_min: 0.1 };
    t.notOk(summariseRun('u', [], unknown, { exit: 0, seconds: 1, limits }).ok, 'not measured');
  },
);
