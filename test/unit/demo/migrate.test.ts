import t from 'tap';
import { isBegin, move, settledAt, waitForHost, zeroOf } from '../../../images/lab/demo/migrate.ts';
import type { Client } from '../../../orchestrator/cli/client.ts';
import type { MigrationEvent } from '../../../orchestrator/store/record.ts';
import { sampleReport } from './sample.ts';

function event(sequence: number): MigrationEvent {
  return {
    sequence,
    at: '2026-11-21T06:00:00.000Z',
    elapsed_ms: 1.5,
    kind: 'phase',
    data: { phase: 'plan', edge: 'begin' },
  };
}

t.test('phases', async (t) => {
  t.equal(isBegin(event(1), 'plan'), true);
  t.equal(isBegin(event(1), 'freeze'), false);
});

t.test('the quarantine on the clock of this machine', async (t) => {
  const report = { ...sampleReport(), client: null, verification: null, environment: null };
  t.equal(zeroOf(report, 10_000_000_000n), 13_420_000_000n);
});

t.test('a thaw that nobody reported ends when the orchestrator says so', async (t) => {
  const sample = { ...sampleReport(), client: null, verification: null, environment: null };
  const moved = { report: sample, begin_ns: 0n, end_ns: 9_000_000_000n, zero_ns: 1_000_000_000n };
  t.equal(settledAt(moved), 3_984_000_000n, 'quarantine + 2984 ms');
  const phases = sample.phases.filter(({ name }) => name !== 'thaw');
  t.equal(settledAt({ ...moved, report: { ...sample, phases } }), 9_000_000_000n);
  t.equal(settledAt({ ...moved, report: { ...sample, outcome: 'rolled-back' } }), 9_000_000_000n);
});

/** Answers like the orchestrator, without one. */
function fakeOrchestrator(states: string[]): Client {
  const report = { ...sampleReport(), client: null, verification: null, environment: null };
  const fake = {
    start: async () => ({ id: report.id }),
    async *follow() {
      yield { ...event(1), at: new Date().toISOString() };
    },
    report: async () => report,
    hosts: async () => [{ name: 'node2', state: states.length > 1 ? states.shift() : states[0] }],
  };
  return fake as unknown as Client;
}

t.test('a move through the REST client', async (t) => {
  const events: number[] = [];
  const order = { source: 'node1', target: 'node2' };
  const before_ns = process.hrtime.bigint();
  const moved = await move(fakeOrchestrator([]), order, ({ sequence }) => events.push(sequence));
  t.strictSame(events, [1]);
  t.ok(moved.begin_ns >= before_ns && moved.end_ns >= moved.begin_ns);
  const planned_ms = Number(moved.zero_ns - moved.begin_ns) / 1e6 - 3420;
  t.ok(planned_ms > -20 && planned_ms < 1000, `plan began ${planned_ms} ms after the request`);
});

t.test('waits for a state, but not for ever', async (t) => {
  await waitForHost(fakeOrchestrator(['unreachable', 'standby']), 'node2', 'standby', 5000);
  await t.rejects(waitForHost(fakeOrchestrator(['busy']), 'node2', 'standby', 0), {
    code: 'lab-failed',
    message: /busy instead of standby/,
  });
  await t.rejects(waitForHost(fakeOrchestrator(['busy']), 'node3', 'standby', 0), {
    message: /not known/,
  });
});
