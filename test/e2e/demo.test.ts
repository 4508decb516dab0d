/** The first command of the README: there and back, with everything that it promises to check. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { checkReport, DOWNTIME_MS_MAX, ROOT, runDemo } from './support.ts';

// A migration takes what it takes; the runner has the limit.
t.setTimeout(0);

t.test('a MySQL host moves to the other machine and back', async (t) => {
  const run = await runDemo(['--moves', '2']);
  t.equal(run.code, 0, run.output);
  t.equal(run.file.version, 1);
  t.ok(run.file.ok);
  t.equal(run.file.moves.length, 2);
  for (const report of run.file.moves) checkReport(t, report, 'delta', DOWNTIME_MS_MAX.delta);
  const page = resolve(ROOT, 'build/demo/report.html');
  t.ok(existsSync(page), 'the page is there');
  t.notMatch(readFileSync(page, 'utf8'), /(src|href)="https?:/, 'it needs nothing from elsewhere');
  t.same(
    JSON.parse(readFileSync(resolve(ROOT, 'build/demo/report.json'), 'utf8')),
    run.file,
    'build/demo has the same report',
  );
  for (const step of ['suspend-devices', 'compare', 'copy', 'quiesce', 'restore-devices']) {
    const phases = run.file.moves[0]?.phases ?? [];
    t.ok(
      phases.some((phase) => phase.name === step),
      `the patched kernel stamped ${step}`,
    );
  }
});
