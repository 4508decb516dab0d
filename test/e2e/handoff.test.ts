/**
 * From commit to release exactly one machine goes on, whoever dies: helpers, their deputies, whole machines that boot
 * again by themselves. What the model says (test/model/handoff.pml), tried on machines: of the whole table
 * (images/lab/faults/cases.ts, `npm run faults`) one of each kind, so that every way out is taken.
 */
import { resolve } from 'node:path';
import t from 'tap';
import { keepLogs } from '../../images/lab/demo/stage.ts';
import { caseOf } from '../../images/lab/faults/cases.ts';
import { runCase } from '../../images/lab/faults/one-case.ts';
import { textProgress } from '../../images/progress.ts';
import { ROOT } from './support.ts';

// A migration takes what it takes; the runner has the limit.
t.setTimeout(0);

const CHOSEN = [
  'F10-freeze-kill',
  'F11-freeze-segv',
  'F13-freeze-segv',
  'F15-freeze-segv',
  'F15-freeze-hang',
  'F12-freeze-both',
  'F13-freeze-both',
  'F12-restore-kill',
  'F12-source-reset',
  'F13-target-reset',
  'F15-target-reset',
] as const;

const progress = textProgress();

for (const id of CHOSEN) {
  const one = caseOf(id);
  t.test(`${id}: ${one?.what}`, async (t) => {
    if (!one) throw new Error(`there is no case ${id}`);
    const logs = resolve(ROOT, 'build/faults', id);
    const result = await runCase(one, progress, (runDir) => keepLogs(runDir, logs));
    t.strictSame(
      result.failures,
      [],
      `${result.owner} runs, the client saw ${result.outage_ms} ms`,
    );
  });
}
