import { createHash } from 'node:crypto';
import t from 'tap';
import {
  addRow,
  decodeCommits,
  encodeCommit,
  NO_ROWS,
  parseSummary,
  payloadOf,
  sameRows,
} from '../../../images/lab/demo/client/ledger.ts';
import { countErrors } from '../../../images/lab/demo/client/sysbench.ts';

t.test('records survive the way through a file', async (t) => {
  const commits = [
    { sequence: 1, begin_ns: 5n, end_ns: 9n },
    { sequence: 1_999_999, begin_ns: 2n ** 62n, end_ns: 2n ** 62n + 1n },
  ];
  const data = Buffer.concat(commits.map(encodeCommit));
  t.strictSame(decodeCommits(data), commits);
  t.strictSame(decodeCommits(data.subarray(0, 40)), commits.slice(0, 1), 'half a record is none');
});

t.test('the summary does not depend on the order, and tells any other row apart', async (t) => {
  const forth = [1, 2, 3].reduce(addRow, NO_ROWS);
  const back = [3, 1, 2].reduce(addRow, NO_ROWS);
  t.ok(sameRows(forth, back));
  t.notOk(sameRows(forth, [1, 2].reduce(addRow, NO_ROWS)));
  t.notOk(sameRows(forth, [1, 2, 4].reduce(addRow, NO_ROWS)));
  t.notOk(
    sameRows([2, 3, 7].reduce(addRow, NO_ROWS), [1, 4, 7].reduce(addRow, NO_ROWS)),
    'same sum',
  );
});

t.test('the summary is the one that the server is asked for', async (t) => {
  const digest = (sequence: number) => {
    const text = `${sequence}:${payloadOf(sequence)}`;
    return BigInt(`0x${createHash('sha256').update(text).digest('hex').slice(0, 16)}`);
  };
  const row = {
    row_count: 2,
    sequence_sum: '12',
    sequence_max: '7',
    digest: String(digest(5) ^ digest(7)),
  };
  t.ok(sameRows(parseSummary(row), [5, 7].reduce(addRow, NO_ROWS)));
});

t.test("sysbench's lines", async (t) => {
  const output = [
    '[ 1s ] thds: 8 tps: 71.1 qps: 1 (r/w/o: 1/1/1) lat (ms,95%): 1 err/s: 0.00 reconn/s: 0.00',
    '[ 2s ] thds: 8 tps: 71.1 qps: 1 (r/w/o: 1/1/1) lat (ms,95%): 1 err/s: 1.99 reconn/s: 3.00',
  ].join('\n');
  t.strictSame(countErrors(output), { ignored: 2, reconnects: 3 });
  t.strictSame(countErrors(''), { ignored: 0, reconnects: 0 });
});
