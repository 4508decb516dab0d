import t from 'tap';
import { PHASE_BY_NAME, PHASES, phaseByNumber, STEPS } from '../../../agent/wire/phases.gen.ts';
import { LIMITS } from '../../../agent/wire/wire.gen.ts';

const names: string[] = PHASES.map((phase) => phase.name);
const position = (name: string) => names.indexOf(name);

t.test('phases run in the order that the promises rest on', async (t) => {
  t.same(names, [
    'plan',
    'preflight',
    'reserve',
    'prepare',
    'precopy',
    'quarantine',
    'freeze',
    'snapshot',
    'send',
    'verify',
    'commit',
    'jump',
    'alive',
    'go',
    'thaw',
    'release',
  ]);
});

t.test('numbers rise with the order, so that a later phase has a larger number', async (t) => {
  const numbers: number[] = PHASES.map((phase) => phase.number);
  t.same(
    numbers,
    numbers.toSorted((a, b) => a - b),
  );
});

t.test('the owner is the source before commit, in doubt until go, then the target', async (t) => {
  for (const phase of PHASES) {
    const at = position(phase.name);
    const expected =
      at < position('commit') ? 'source' : at < position('go') ? 'in-doubt' : 'target';
    t.equal(phase.owner, expected, phase.name);
  }
});

t.test('every phase says how it is undone, and none is undone after go', async (t) => {
  for (const phase of PHASES) {
    t.not(phase.undo, '', phase.name);
    t.equal(phase.undo === 'none is needed', position(phase.name) >= position('go'), phase.name);
  }
});

t.test('undo between commit and go makes certain first that the target is off', async (t) => {
  for (const name of ['commit', 'jump', 'alive'] as const) {
    t.match(PHASE_BY_NAME[name].undo, /certain that the target does not run, then .*thaw/);
  }
});

t.test('phases and steps are found by number', async (t) => {
  for (const row of [...PHASES, ...STEPS]) {
    t.equal(phaseByNumber(row.number), row);
  }
  t.equal(phaseByNumber(0), undefined);
  t.equal(phaseByNumber(65_535), undefined);
});

t.test(
  'steps of a phase run on its side; those of the jump end as the resumed machine',
  async (t) => {
    for (const step of STEPS) {
      const parent = PHASE_BY_NAME[step.parent];
      t.ok(step.side === parent.side || step.name === 'receive', step.name);
    }
    t.ok(STEPS.length <= LIMITS.phase_slots, 'a kernel_stamps message has a slot for each step');
  },
);
