/** Which engine moves a machine, and what the engine delta does before the window. */
import t from 'tap';
import { PmsmError } from '../../../agent/wire/errors.ts';
import type { MigrationEvent } from '../../../orchestrator/store/record.ts';
import { type Behaviour, makePatchedFacts, migrate, REQUEST, startLab } from './fakes.ts';

t.test('engine delta where both kernels can, with its rounds', async (t) => {
  const facts = { source_facts: makePatchedFacts(), standby_facts: makePatchedFacts() };
  const lab = await startLab(t.testdir(), facts);
  t.teardown(() => lab.close());
  const migration = await migrate(lab);
  t.match(migration, { engine: 'auto', state: 'moved', report: { engine: 'delta' } });
  const order = lab.world.orders.find(({ type }) => type === 'precopy')?.message;
  t.match(order, { downtime_limit_ms: 2000, rounds_max: 8, bytes_per_s: 0n });
  const names = migration.report?.phases.map(({ name }) => name) ?? [];
  t.ok(names.includes('precopy'));
  const rounds: MigrationEvent['data'][] = [];
  lab.service.site.events.follow(migration.id, 0, ({ kind, data }) => {
    if (kind === 'round') rounds.push(data);
  })();
  t.match(rounds.at(-1), {
    number: 2,
    state: 'complete',
    changed: 40,
    predicted_downtime_ms: 350,
    bytes_per_s: 80_000_000,
  });
});

t.test('which engine', async (t) => {
  const cases: Array<[string, Behaviour, string, object]> = [
    [
      'a stock standby',
      { source_facts: makePatchedFacts() },
      'auto',
      { report: { engine: 'full' } },
    ],
    [
      'full by request',
      { source_facts: makePatchedFacts(), standby_facts: makePatchedFacts() },
      'full',
      { report: { engine: 'full' } },
    ],
    [
      'delta where it cannot be',
      { source_facts: makePatchedFacts() },
      'delta',
      { state: 'refused', error: { code: 'engine-unavailable' } },
    ],
    [
      'two formats',
      { source_facts: makePatchedFacts(1), standby_facts: makePatchedFacts(2) },
      'delta',
      { state: 'refused', error: { code: 'format-mismatch', detail: /format 1.*format 2/ } },
    ],
  ];
  for (const [name, behaviour, engine, expected] of cases) {
    const lab = await startLab(t.testdir(), behaviour);
    const { id } = await lab.service.workflow.start({ ...REQUEST, engine: engine as 'auto' });
    await lab.service.workflow.settled();
    t.match(lab.service.site.store.get(id), expected, name);
    t.notOk(lab.world.ordered('precopy'), `${name}: no rounds`);
    await lab.close();
  }
});

t.test('a machine that changes too fast', async (t) => {
  const facts = { source_facts: makePatchedFacts(), standby_facts: makePatchedFacts() };
  const source = { precopy: { error: 'not-converging' as const } };
  const lab = await startLab(t.testdir(), { ...facts, source });
  t.teardown(() => lab.close());
  const migration = await migrate(lab);
  t.match(migration, { state: 'rolled-back', owner: 'source', error: { code: 'not-converging' } });
  t.ok(lab.world.source_runs);
  t.notOk(lab.world.ordered('freeze'), 'it was never asked to stand still');
  t.equal(migration.report?.downtime_ms.window, null);
});

t.test(
  'a window that lasts too long is named so, whoever notices the broken stream first',
  async (t) => {
    const facts = { source_facts: makePatchedFacts(), standby_facts: makePatchedFacts() };
    const lab = await startLab(t.testdir(), {
      ...facts,
      source: { freeze: { thawed: 'window-overrun' } },
      at: {
        order: 'freeze',
        act: ({ standby }) => {
          const code = new PmsmError('stream-failed').number;
          standby?.send({ type: 'error', code, phase: 0, system_errno: 104, detail: 'reset' });
        },
      },
    });
    t.teardown(() => lab.close());
    const migration = await migrate(lab);
    t.match(migration, {
      state: 'rolled-back',
      owner: 'source',
      error: { code: 'window-overrun' },
    });
    t.ok(lab.world.source_runs);
  },
);
