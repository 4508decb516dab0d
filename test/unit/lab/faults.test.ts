/** The table of faults, and what is made of its results. */

import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { PHASE_BY_NAME } from '../../../agent/wire/phases.gen.ts';
import { CASES, caseOf, type FaultCase } from '../../../images/lab/faults/cases.ts';
import { notPlayed } from '../../../images/lab/faults/one-case.ts';
import { chosen, parseOptions } from '../../../images/lab/faults/options.ts';
import { renderPage } from '../../../images/lab/faults/page.ts';
import {
  makeFile,
  type Result,
  ResultSchema,
  readResults,
  writeResults,
} from '../../../images/lab/faults/results.ts';
import { drawPage, drawText, sayFailures } from '../../../images/lab/faults/table.ts';

const first = CASES[0] as FaultCase;
const failed = notPlayed(first, 'the fault did not strike');
const held: Result = {
  ...failed,
  id: 'F12-freeze-kill',
  ok: true,
  outcome: 'moved',
  owner: 'target',
  expected_owner: 'target',
  outage_ms: 612.5,
  checks: { ...failed.checks, rows: true, connection: null },
  failures: [],
};

t.test('the table', async (t) => {
  const ids = CASES.map(({ id }) => id);
  t.equal(new Set(ids).size, ids.length, 'no two cases have the same id');
  for (const { id, where, expected, resets, strike } of CASES) {
    t.ok(id.startsWith(PHASE_BY_NAME[where].fault), `${id} begins with its phase`);
    t.equal(
      expected.outcome === 'moved',
      expected.owner === 'target',
      `${id}: owner and outcome agree`,
    );
    t.ok(expected.codes.length > 0, `${id} says what the report may say`);
    if (expected.machine === 'boots') {
      t.equal(resets, expected.owner, `${id}: a machine boots because it was reset`);
    }
    if (strike.by === 'lab') t.equal(resets, strike.victim, `${id}: a plug is put in again`);
  }
});

t.test('up to commit the source goes on, from go on the target does', async (t) => {
  for (const { id, where, expected } of CASES) {
    const { number } = PHASE_BY_NAME[where];
    if (number < PHASE_BY_NAME.commit.number && !/guard|deputy/.test(id)) {
      t.equal(expected.owner, 'source', id);
    }
    if (number >= PHASE_BY_NAME.go.number) t.equal(expected.owner, 'target', id);
  }
});

t.test('the command line', async (t) => {
  t.equal(chosen(parseOptions([])).length, CASES.length, 'all');
  const some = chosen(parseOptions(['--only', 'F13,F12-source-reset']));
  t.ok(some.some(({ id }) => id === 'F12-source-reset'));
  t.ok(some.every(({ id }) => id.startsWith('F13') || id === 'F12-source-reset'));
  t.throws(() => parseOptions(['--only', 'F99']), /no case F99/);
  t.throws(() => parseOptions(['--frobnicate']));
  t.equal(caseOf('F99'), undefined);
});

t.test('results', async (t) => {
  const path = resolve(t.testdir(), 'results.json');
  t.strictSame(readResults(path), [], 'none yet');
  writeResults(path, [failed, held]);
  t.strictSame(readResults(path), [failed, held], 'what was written is read');
  t.strictSame(makeFile([failed, held]).summary, { passed: 1, failed: 1 });
  t.ok(ResultSchema.parse(failed));
  writeFileSync(path, '{"version":2}');
  t.throws(() => readResults(path), { code: 'bad-request' });
});

t.test('for people', async (t) => {
  const text = drawText([failed, held]);
  t.match(text, /612 ms|613 ms/);
  t.match(text, /in doubt/, 'what never ended has no length');
  t.match(text, /not .*rows/, 'what does not hold is named');
  t.strictSame(sayFailures([failed, held]), [`${failed.id}: the fault did not strike`]);
  t.match(drawPage([failed, held]), /1 of 2 hold[\s\S]*## What did not hold/);
  t.notMatch(drawPage([held]), /did not hold/);
  const page = renderPage([{ ...failed, failures: ['<b>'] }, held]);
  t.match(page, /1 of 2 faults did not end as they have to/);
  t.match(page, /&lt;b&gt;/, 'nothing of it is markup');
  t.match(renderPage([held]), /exactly one machine/);
  t.match(renderPage([]), /Nothing has been tried/);
});
