import t from 'tap';
import { assembleReport, type Evidence } from '../../../images/lab/demo/assemble.ts';
import type { Commit } from '../../../images/lab/demo/gaps.ts';
import type { MigrationReport } from '../../../images/lab/demo/report/schema.ts';
import { ReportSchema } from '../../../images/lab/demo/report/schema.ts';
import { failuresOf, makeFile } from '../../../images/lab/demo/verdict.ts';
import { sampleReport } from './sample.ts';

const MS = 1_000_000n;
/** The quarantine of the sample begins here, the request 3.42 s before. */
const ZERO_NS = 100_000n * MS;

function migrationReport(): MigrationReport {
  const report = sampleReport();
  return {
    ...report,
    downtime_ms: { client: null, gap_before: null, window: 2984 },
    client: null,
    verification: null,
    environment: null,
  };
}

/** A commit every 10 ms, but none from the quarantine until `answered_ms`. */
function commits(answered_ms: number, until_ms: number): Commit[] {
  const made: Commit[] = [];
  for (let at = -6000; at < until_ms; at += 10) {
    if (at > 0 && at < answered_ms) continue;
    const end_ns = ZERO_NS + BigInt(at) * MS;
    made.push({ sequence: made.length + 1, begin_ns: end_ns - 8n * MS, end_ns });
  }
  return made;
}

function evidence(changes: Partial<Evidence> = {}): Evidence {
  const sample = sampleReport();
  const made = commits(3160, 8000);
  return {
    moved: {
      report: migrationReport(),
      begin_ns: ZERO_NS - 3430n * MS,
      end_ns: ZERO_NS + 3200n * MS,
      zero_ns: ZERO_NS,
    },
    commits: made,
    opened_ns: ZERO_NS - 6010n * MS,
    check: {
      event: 'checked',
      committed: made.length,
      lost: 0,
      connection_survived: true,
      rows_agree: true,
      errors: [],
    },
    errors: [],
    verification: {
      disk: true,
      file: true,
      memory: true,
      continued: true,
      services: true,
      kernels: true,
      frames: null,
    },
    differing_frames: [],
    environment: sample.environment,
    ...changes,
  };
}

t.test('a good move holds', async (t) => {
  const report = assembleReport(evidence());
  t.strictSame(failuresOf(report), []);
  t.equal(report.ok, true);
  t.equal(report.downtime_ms.client, 3160);
  t.equal(report.downtime_ms.gap_before, 10);
  t.equal(report.downtime_ms.window, 2984);
  t.strictSame(ReportSchema.parse(report), report);
});

t.test('the latencies are on the axis of the phases', async (t) => {
  const { latencies } = assembleReport(evidence()).client;
  const waited = latencies.findIndex(([start]) => start > 0);
  t.strictSame(latencies[waited], [3152, 8], 'first one after the thaw');
  t.strictSame(latencies[0]?.[0], -5008, 'five seconds before the quarantine are kept');
});

t.test('throughput begins before the request and is on the same axis', async (t) => {
  const { throughput } = assembleReport(evidence()).client;
  t.match(throughput, { from_ms: -6010, step_ms: 250 }, 'it did not commit before that');
  t.equal(throughput?.commits[4], 25, 'a commit every 10 ms');
  t.equal(throughput?.commits[30], 0, 'none while it stood still');
});

t.test('a gap after the thaw still counts as downtime', async (t) => {
  const report = assembleReport(evidence({ commits: commits(4980, 9000) }));
  t.equal(report.downtime_ms.client, 4980, 'its end lies before thaw + 2 s');
});

t.test(
  'a client that never got an answer has no downtime, and the move does not hold',
  async (t) => {
    const report = assembleReport(evidence({ commits: commits(9000, 8000) }));
    t.equal(report.downtime_ms.client, null);
    t.equal(report.ok, false);
    t.match(failuresOf(report).join(), 'no commit succeeded');
  },
);

t.test('each thing that does not hold is named', async (t) => {
  const good = assembleReport(evidence());
  const cases: [string, Partial<Evidence>][] = [
    ['did not survive', { check: { ...evidence().check, connection_survived: false } }],
    ['7 acknowledged rows', { check: { ...evidence().check, lost: 7 } }],
    ['do not agree', { check: { ...evidence().check, rows_agree: false } }],
    ['client: oops', { errors: ['oops'] }],
    ['e2fsck', { verification: { ...good.verification, disk: false } }],
    ['the memory', { verification: { ...good.verification, memory: false } }],
    ['the file', { verification: { ...good.verification, file: false } }],
    ['uptime', { verification: { ...good.verification, continued: false } }],
    ['services', { verification: { ...good.verification, services: false } }],
    ['a kernel', { verification: { ...good.verification, kernels: false } }],
  ];
  for (const [words, changes] of cases) {
    const report = assembleReport(evidence(changes));
    t.equal(report.ok, false, words);
    t.match(failuresOf(report).join('\n'), words);
    t.equal(failuresOf(report).length, 1, `${words}, and only that`);
  }
});

t.test('a move that was refused, rolled back or is in doubt does not hold', async (t) => {
  const moved = evidence().moved;
  const report: MigrationReport = {
    ...migrationReport(),
    outcome: 'rolled-back',
    owner: 'source',
    ok: false,
    error: { code: 'stalled', detail: 'for 2 s' },
  };
  const failed = failuresOf(assembleReport(evidence({ moved: { ...moved, report } })));
  t.match(failed.join('\n'), 'rolled-back');
  t.match(failed.join('\n'), 'stalled: for 2 s');
  t.match(failed.join('\n'), 'owned by: source');
});

t.test('the file holds only if every wanted move was made', async (t) => {
  const good = assembleReport(evidence());
  t.equal(makeFile([good, good], 2).ok, true);
  t.equal(makeFile([good], 2).ok, false);
  t.equal(makeFile([], 0).ok, true);
  t.equal(makeFile([good, { ...good, ok: false }], 2).ok, false);
});
