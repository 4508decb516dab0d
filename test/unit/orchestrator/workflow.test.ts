/** The whole workflow against fakes: how every failure ends, and that both sides never run. */
import t from 'tap';
import type { ErrorCode } from '../../../agent/wire/errors.ts';
import { NO_ATTEMPT } from '../../../agent/wire/messages.ts';
import type { Migration } from '../../../orchestrator/store/record.ts';
import { type Behaviour, eventually, migrate, REQUEST, startLab, type World } from './fakes.ts';

// Most of a test is waiting for somebody who is silent.
t.jobs = 10;

t.test('a migration without any fault', async (t) => {
  const lab = await startLab(t.testdir());
  t.teardown(() => lab.close());
  const migration = await migrate(lab);
  t.match(migration, { state: 'moved', owner: 'target', decision: 'release', error: null });
  t.notOk(lab.world.source_runs);
  t.ok(lab.world.target_runs);
  t.notOk(lab.world.both_ran);
  t.ok(lab.world.ordered('release'));
  const { report } = migration;
  t.match(report, { ok: true, outcome: 'moved', owner: 'target', error: null, warnings: [] });
  t.strictSame(report?.memory, {
    total_bytes: 2_147_483_648,
    saveable_bytes: 2_000_000,
    sent_bytes: 600_000,
    sent_frozen_bytes: 500_000,
  });
  const names = report?.phases.map(({ name }) => name) ?? [];
  for (const name of ['prepare', 'quarantine', 'snapshot', 'send', 'commit', 'alive', 'thaw']) {
    t.ok(names.includes(name), `${name} is in the report`);
  }
  t.ok(names.includes('quiesce'), "a step that only the kernel's stamps tell");
});

t.test('all clocks are on one axis', async (t) => {
  const lab = await startLab(t.testdir());
  t.teardown(() => lab.close());
  const { report } = await migrate(lab);
  const start = new Map(report?.phases.map((phase) => [phase.name, phase.start_ms]));
  t.equal(start.get('quarantine'), 0);
  const before = start.get('prepare') ?? 0;
  t.ok(before < 0, `prepare begins before the quarantine: ${before}`);
  const order = ['quarantine', 'freeze', 'snapshot', 'send', 'commit', 'alive', 'thaw', 'release'];
  const starts = order.map((name) => start.get(name) ?? Number.NaN);
  const sorted = [...starts].sort((a, b) => a - b);
  // The counters of the fakes differ by hours; half a round trip on a loopback is far below 50 ms.
  starts.forEach((value, i) => {
    t.ok(Math.abs(value - (sorted[i] ?? 0)) < 50, `${order[i]} ${value}`);
  });
  const window = report?.downtime_ms.window ?? -1;
  t.ok(window > 0 && window < 5000, `window ${window}`);
});

t.test('the wall clock is measured before the window and set by go', async (t) => {
  const lab = await startLab(t.testdir());
  t.teardown(() => lab.close());
  await migrate(lab);
  const go = lab.world.orders.find(({ type }) => type === 'go')?.message;
  const realtime_ns = go?.type === 'go' ? go.realtime_ns : 0n;
  const error_ms = Math.abs(Number(realtime_ns / 1_000_000n) - Date.now());
  t.ok(error_ms < 2000, `off by ${error_ms} ms`);
});

interface Case extends Behaviour {
  name: string;
  state: Migration['state'];
  owner: Migration['owner'];
  code: ErrorCode;
  /** Who must run in the end; `nobody` in doubt. */
  runs: 'source' | 'target' | 'nobody';
  warning?: ErrorCode;
}

const KEPT = { state: 'rolled-back', owner: 'source', runs: 'source' } as const;
const DOUBT = { state: 'in-doubt', owner: 'in-doubt', runs: 'nobody' } as const;
const MOVED = { state: 'moved', owner: 'target', runs: 'target' } as const;

const BEFORE_COMMIT: Case[] = [
  {
    name: 'standby does not answer reserve',
    standby: { reserve: 'silent' },
    ...KEPT,
    code: 'reserve-failed',
  },
  {
    name: 'standby refuses reserve',
    standby: { reserve: { error: 'port-taken' } },
    ...KEPT,
    code: 'port-taken',
  },
  {
    name: 'agent does not start the helper',
    source: { start: { error: 'conflict' } },
    ...KEPT,
    code: 'conflict',
  },
  {
    name: 'helper ends before it connects',
    source: { start: 'silent' },
    agent_answers: true,
    ...KEPT,
    code: 'stream-failed',
  },
  { name: 'helper never gets prepared', source: { hello: 'silent' }, ...KEPT, code: 'timeout' },
  {
    name: 'helper closes while it prepares',
    source: { hello: 'close' },
    agent_answers: true,
    ...KEPT,
    code: 'source-lost',
  },
  {
    name: 'source gives up at freeze',
    source: { freeze: { error: 'freeze-failed' } },
    ...KEPT,
    code: 'freeze-failed',
  },
  {
    name: 'source thaws at freeze',
    source: { freeze: { thawed: 'stalled' } },
    ...KEPT,
    code: 'stalled',
  },
  { name: 'source is silent after freeze', source: { freeze: 'silent' }, ...KEPT, code: 'timeout' },
  {
    name: 'source closes after freeze',
    source: { freeze: 'close' },
    agent_answers: true,
    ...KEPT,
    code: 'source-lost',
  },
  {
    name: 'source never comes back after freeze',
    source: { freeze: 'close' },
    ...KEPT,
    code: 'source-lost',
    warning: 'source-lost',
  },
  {
    name: 'target rejects the image',
    standby: { ready: { error: 'image-rejected' } },
    ...KEPT,
    code: 'image-rejected',
  },
  { name: 'target goes away', standby: { ready: 'close' }, ...KEPT, code: 'target-lost' },
  { name: 'target never gets ready', standby: { ready: 'silent' }, ...KEPT, code: 'timeout' },
  {
    name: 'target has another image',
    standby: {
      ready: {
        say: (key) => ({ type: 'ready', ...key, chunks: 1n, raw_bytes: 1_048_576n, chain: 9n }),
      },
    },
    ...KEPT,
    code: 'digest-mismatch',
  },
  {
    name: 'target drops the attempt',
    standby: { ready: { say: (key) => ({ type: 'waiting', ...key }) } },
    ...KEPT,
    code: 'target-lost',
  },
  {
    name: 'source speaks of another attempt',
    source: {
      freeze: {
        say: () => ({ type: 'thawed', attempt: 'ab'.repeat(16), generation: 1n, code: 0 }),
      },
    },
    agent_answers: true,
    ...KEPT,
    code: 'protocol-error',
  },
];

const AFTER_COMMIT: Case[] = [
  {
    name: 'source has thawed at commit',
    source: { commit: { thawed: 'stalled' } },
    ...KEPT,
    code: 'already-thawed',
  },
  {
    name: 'source has given up the attempt at commit',
    source: { commit: { error: 'stalled' } },
    ...KEPT,
    code: 'already-thawed',
  },
  {
    name: 'source does not answer commit, but thaw',
    source: { commit: 'silent' },
    ...KEPT,
    code: 'already-thawed',
  },
  {
    name: 'source answers nothing from commit on',
    source: { commit: 'silent', thaw: 'silent' },
    ...DOUBT,
    code: 'commit-unanswered',
    warning: 'commit-unanswered',
  },
  {
    name: 'source closes at commit',
    source: { commit: 'close' },
    ...DOUBT,
    code: 'commit-unanswered',
    warning: 'commit-unanswered',
  },
  {
    name: "target's kernel refuses to jump",
    standby: { jump: { say: (key) => ({ type: 'not_jumped', ...key, system_errno: 22 }) } },
    ...KEPT,
    code: 'not-jumped',
  },
  {
    name: 'target boots as a standby instead',
    standby: { jump: 'close' },
    at: { order: 'jump', act: returnAsStandby },
    ...KEPT,
    code: 'not-jumped',
  },
  {
    name: 'target is silent, no fence',
    standby: { jump: 'silent' },
    ...DOUBT,
    code: 'target-silent',
  },
  {
    name: 'target is silent, fence fails',
    standby: { jump: 'silent' },
    fence: 'fails',
    ...DOUBT,
    code: 'target-silent',
  },
  {
    name: 'target is silent, fence confirms',
    standby: { jump: 'silent' },
    fence: 'confirms',
    ...KEPT,
    code: 'fenced-target',
  },
  {
    name: 'target connects, never alive, fence confirms',
    resumed: { hello: 'silent' },
    fence: 'confirms',
    ...KEPT,
    code: 'fenced-target',
  },
  {
    name: 'target connects, never alive, no fence',
    resumed: { hello: 'silent' },
    ...DOUBT,
    code: 'target-silent',
  },
  {
    name: 'fenced, but the source is silent',
    standby: { jump: 'silent' },
    source: { thaw: 'silent' },
    fence: 'confirms',
    ...DOUBT,
    code: 'target-silent',
    warning: 'commit-unanswered',
  },
  {
    name: 'target does not confirm the thaw',
    resumed: { go: 'silent' },
    ...MOVED,
    runs: 'nobody',
    code: 'thaw-unconfirmed',
  },
];

async function returnAsStandby(world: World): Promise<void> {
  const port = world.standby?.socket.remotePort ?? 0;
  await eventually(() => world.standby?.socket.destroyed === true);
  world.connectStandby(port);
}

for (const one of [...BEFORE_COMMIT, ...AFTER_COMMIT]) {
  t.test(one.name, async (t) => {
    const lab = await startLab(t.testdir(), one);
    t.teardown(() => lab.close());
    const migration = await migrate(lab);
    t.match(migration, { state: one.state, owner: one.owner });
    t.equal(migration.error?.code, one.code);
    t.match(migration.report, { ok: false, outcome: one.state, owner: one.owner });
    t.strictSame(
      migration.warnings.map(({ code }) => code),
      one.warning ? [one.warning] : [],
    );
    const { world } = lab;
    t.notOk(world.both_ran, 'both never ran');
    t.equal(world.target_runs, one.runs === 'target', 'target');
    if (one.warning !== 'source-lost') t.equal(world.source_runs, one.runs === 'source', 'source');
    if (one.runs === 'source' && migration.decision !== 'none') {
      t.equal(migration.decision, 'source', 'it was recorded that the source owns the state');
    }
    const gone = migration.decision === 'go' || migration.decision === 'release';
    if (!gone) t.notOk(world.ordered('go'), 'go was not sent');
    if (migration.decision !== 'release') t.notOk(world.ordered('release'), 'nor release');
    if (migration.decision !== 'source') t.notOk(world.ordered('thaw'), 'thaw was not sent');
    t.equal(lab.service.site.registry.attempts().length, 0, 'nothing is left over');
  });
}

t.test('a vacated source that does not confirm is a warning, not a failure', async (t) => {
  const lab = await startLab(t.testdir(), { source: { release: 'silent' } });
  t.teardown(() => lab.close());
  const migration = await migrate(lab);
  t.match(migration, { state: 'moved', owner: 'target', error: null });
  t.match(migration.warnings, [{ code: 'release-unconfirmed' }]);
  t.ok(migration.report?.ok);
});

t.test('preflight refuses before anything is reserved', async (t) => {
  const finding = {
    code: 'memory-too-full' as const,
    severity: 'refuse' as const,
    found: 'much',
    why: '',
    remedy: '',
  };
  const lab = await startLab(t.testdir(), { findings: [finding] });
  t.teardown(() => lab.close());
  const migration = await migrate(lab);
  t.match(migration, { state: 'refused', owner: 'source', error: { code: 'memory-too-full' } });
  t.strictSame(lab.world.orders, []);
});

t.test('a late alive in doubt gets no go', async (t) => {
  const lab = await startLab(t.testdir(), { standby: { jump: 'silent' } });
  t.teardown(() => lab.close());
  const { id } = await migrate(lab);
  lab.world.connectResumed();
  await eventually(() => lab.world.resumed?.heard.some(({ type }) => type === 'hello') === true);
  // A second round trip: whatever answered the first would be here by now.
  await eventually(() => lab.service.site.registry.strangers(id).length === 2);
  t.notOk(lab.world.ordered('go'));
  t.notOk(lab.world.target_runs);
  t.equal(lab.service.site.store.get(id)?.state, 'in-doubt');
});

t.test('doubt ends when the target waits as a standby again', async (t) => {
  const lab = await startLab(t.testdir(), { standby: { jump: 'silent' } });
  t.teardown(() => lab.close());
  const { id } = await migrate(lab);
  t.equal(lab.service.site.store.get(id)?.state, 'in-doubt');
  t.notOk(lab.world.source_runs);
  lab.world.connectStandby(lab.service.control.port);
  await eventually(() => lab.service.site.store.get(id)?.state === 'rolled-back');
  t.ok(lab.world.source_runs);
  t.match(lab.service.site.store.get(id), { decision: 'source', owner: 'source' });
  t.match(lab.service.site.store.get(id)?.report, { outcome: 'rolled-back', owner: 'source' });
});

t.test('a source that comes back is told what was recorded', async (t) => {
  const lab = await startLab(t.testdir(), { source: { commit: 'close' } });
  t.teardown(() => lab.close());
  const { id } = await migrate(lab);
  t.equal(lab.service.site.store.get(id)?.state, 'in-doubt');
  lab.world.connectSource();
  await eventually(() => lab.service.site.store.get(id)?.state === 'rolled-back');
  t.ok(lab.world.ordered('thaw'));
  t.ok(lab.world.source_runs);
});

t.test('a standby that was aborted can be used again', async (t) => {
  const behaviour: Behaviour = { standby: { ready: { error: 'image-rejected' } } };
  const lab = await startLab(t.testdir(), behaviour);
  t.teardown(() => lab.close());
  t.match(await migrate(lab), { state: 'rolled-back' });
  delete behaviour.standby;
  t.match(await migrate(lab), { state: 'moved', generation: 2 }, 'on the same control link');
  t.match(await migrate(lab), { state: 'refused', error: { code: 'target-not-standby' } });
});

t.test('cancel', async (t) => {
  t.test('before commit the source runs on', async (t) => {
    const lab = await startLab(t.testdir(), { source: { freeze: 'silent' } });
    t.teardown(() => lab.close());
    const { workflow, site } = lab.service;
    const { id } = await workflow.start(REQUEST);
    await eventually(() => lab.world.ordered('freeze'));
    const cancelled = await workflow.cancel(id);
    t.equal(cancelled.state, 'aborting');
    await workflow.settled();
    t.match(site.store.get(id), { state: 'rolled-back', error: { code: 'cancelled' } });
    t.ok(lab.world.source_runs);
    await t.rejects(workflow.cancel(id), { code: 'cannot-cancel' });
  });

  t.test('after commit it is too late', async (t) => {
    const lab = await startLab(t.testdir(), { resumed: { hello: 'silent' } });
    t.teardown(() => lab.close());
    const { workflow } = lab.service;
    const { id } = await workflow.start(REQUEST);
    await eventually(() => lab.world.ordered('jump'));
    await t.rejects(workflow.cancel(id), { code: 'cannot-cancel' });
    await workflow.settled();
  });

  t.test('at any moment it wins or it is too late', async (t) => {
    for (let after_ms = 0; after_ms < 30; after_ms += 3) {
      const lab = await startLab(t.testdir());
      const { workflow, site } = lab.service;
      const { id } = await workflow.start(REQUEST);
      await new Promise((resolve) => setTimeout(resolve, after_ms));
      const won = await workflow.cancel(id).then(
        () => true,
        () => false,
      );
      await workflow.settled();
      const state = site.store.get(id)?.state;
      t.equal(
        state,
        won ? (state === 'refused' ? state : 'rolled-back') : 'moved',
        `${after_ms} ms`,
      );
      t.notOk(lab.world.both_ran);
      t.equal(lab.world.source_runs, won);
      await lab.close();
    }
  });
});

t.test('one machine takes part in one migration', async (t) => {
  const lab = await startLab(t.testdir(), { source: { freeze: 'silent' } });
  t.teardown(() => lab.close());
  const { workflow } = lab.service;
  await workflow.start(REQUEST);
  await t.rejects(workflow.start(REQUEST), { code: 'conflict' });
  await t.rejects(workflow.start({ ...REQUEST, target: 'node1' }), { code: 'same-machine' });
  await t.rejects(workflow.start({ ...REQUEST, source: 'x' }), { code: 'unknown-host' });
  await workflow.settled();
});

t.test('the end of the process cancels what can be cancelled', async (t) => {
  const lab = await startLab(t.testdir(), { source: { freeze: 'silent' } });
  const { workflow, site } = lab.service;
  const { id } = await workflow.start(REQUEST);
  await eventually(() => lab.world.ordered('freeze'));
  await workflow.close();
  t.match(site.store.get(id), { state: 'rolled-back', error: { code: 'cancelled' } });
  await lab.close();
});

t.test('a zero attempt id of a source is nobody', async (t) => {
  const lab = await startLab(t.testdir());
  t.teardown(() => lab.close());
  lab.world.key = { attempt: NO_ATTEMPT, generation: 0n };
  lab.world.connectSource();
  await eventually(() => lab.world.source?.heard.some(({ type }) => type === 'error') === true);
  t.equal(lab.service.site.registry.attempts().length, 0);
});
