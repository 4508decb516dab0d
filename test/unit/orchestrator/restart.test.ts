/** What a new orchestrator makes of the records of one that died, and what it tells late peers. */
import { join } from 'node:path';
import t from 'tap';
import { FileStore } from '../../../orchestrator/store/file-store.ts';
import type { Decision, State } from '../../../orchestrator/store/record.ts';
import { resolveByPerson } from '../../../orchestrator/workflow/standing.ts';
import {
  type Behaviour,
  eventually,
  type Lab,
  Peer,
  REQUEST,
  startLab,
  TARGET_ADDRESS,
} from './fakes.ts';
import { newRecord } from './records.ts';

t.jobs = 6;

async function startAfterDeath(
  directory: string,
  state: State,
  decision: Decision,
  behaviour: Behaviour = {},
): Promise<{ lab: Lab; id: string }> {
  const store = await FileStore.open(directory);
  const { id, generation } = await store.create(newRecord({ state, decision }));
  await store.close();
  const lab = await startLab(directory, behaviour);
  lab.world.key = { attempt: id, generation: BigInt(generation) };
  lab.world.setRunning('source', false);
  return { lab, id };
}

const DOUBT = { state: 'committed', decision: 'commit' } as const;

interface Case {
  state: State;
  decision: Decision;
  ends: State;
  code: string;
  source_hears: string | undefined;
  resumed_hears: string | undefined;
}

const CASES: Case[] = [
  {
    state: 'planned',
    decision: 'none',
    ends: 'rolled-back',
    code: 'restarted',
    source_hears: 'abort',
    resumed_hears: undefined,
  },
  {
    state: 'preparing',
    decision: 'none',
    ends: 'rolled-back',
    code: 'restarted',
    source_hears: 'abort',
    resumed_hears: undefined,
  },
  {
    state: 'frozen',
    decision: 'none',
    ends: 'rolled-back',
    code: 'restarted',
    source_hears: 'abort',
    resumed_hears: undefined,
  },
  {
    state: 'aborting',
    decision: 'none',
    ends: 'rolled-back',
    code: 'restarted',
    source_hears: 'abort',
    resumed_hears: undefined,
  },
  {
    state: 'reverting',
    decision: 'source',
    ends: 'in-doubt',
    code: 'restarted-in-doubt',
    source_hears: 'thaw',
    resumed_hears: undefined,
  },
  {
    state: 'going',
    decision: 'go',
    ends: 'moved',
    code: 'thaw-unconfirmed',
    source_hears: 'release',
    resumed_hears: 'go',
  },
  {
    state: 'releasing',
    decision: 'release',
    ends: 'moved',
    code: 'release-unconfirmed',
    source_hears: 'release',
    resumed_hears: 'go',
  },
];

for (const one of CASES) {
  t.test(`died in ${one.state}`, async (t) => {
    const { lab, id } = await startAfterDeath(t.testdir(), one.state, one.decision);
    t.teardown(() => lab.close());
    const { store } = lab.service.site;
    t.match(store.get(id), { state: one.ends, error: { code: one.code } });
    t.match(store.get(id)?.report, { ok: false, outcome: one.ends });
    t.equal(store.events(id).at(-1)?.kind, 'end');
    lab.world.connectResumed();
    lab.world.connectSource();
    const heard = (role: string) =>
      lab.world.orders.filter(({ to }) => to === role).map(({ type }) => type);
    await eventually(() => heard('source').length >= (one.source_hears ? 1 : 0));
    await eventually(() => heard('resumed').length >= (one.resumed_hears ? 1 : 0));
    t.strictSame(heard('source'), one.source_hears ? [one.source_hears] : []);
    t.strictSame(heard('resumed'), one.resumed_hears ? [one.resumed_hears] : []);
    t.notOk(lab.world.both_ran);
  });
}

for (const state of ['committed', 'fencing'] as const) {
  t.test(`died in ${state}: neither side is told anything`, async (t) => {
    // The standby of this world would resolve the doubt, so it is not the attempt's target.
    const directory = t.testdir();
    const store = await FileStore.open(directory);
    const record = newRecord({ state, decision: 'commit', target: 'node3' });
    const { id, generation } = await store.create(record);
    await store.close();
    const lab = await startLab(directory);
    t.teardown(() => lab.close());
    lab.world.key = { attempt: id, generation: BigInt(generation) };
    t.match(lab.service.site.store.get(id), {
      state: 'in-doubt',
      owner: 'in-doubt',
      error: { code: 'restarted-in-doubt' },
    });
    lab.world.connectSource();
    lab.world.connectResumed();
    await eventually(() => lab.service.site.registry.strangers(id).length === 2);
    // One more round trip on each link: an order would have come before it.
    const links = lab.service.site.registry.strangers(id);
    await Promise.all(links.map((link) => link.sampleClocks(2, 1000)));
    t.strictSame(lab.world.orders, [], 'only the greeting was answered');
  });
}

t.test('died in going: the source stays until the target was heard to run', async (t) => {
  const { lab, id } = await startAfterDeath(t.testdir(), 'going', 'go', { agent_answers: true });
  t.teardown(() => lab.close());
  const { registry, store } = lab.service.site;
  lab.world.standby?.close();
  lab.world.connectSource();
  await eventually(() => registry.strangers(id).length === 1);
  await Promise.all(registry.strangers(id).map((link) => link.sampleClocks(2, 1000)));
  t.strictSame(lab.world.orders, [], 'the last copy is not let go');
  // Its last word was lost, but its agent answers.
  lab.world.setRunning('target', true);
  await eventually(() => store.get(id)?.decision === 'release');
  await eventually(() => lab.world.ordered('release'));
  t.match(store.get(id), { state: 'moved', owner: 'target' });
});

t.test('a person says that the source is off', async (t) => {
  const cases = [
    { state: 'going', decision: 'go', ends: { state: 'moved', decision: 'release' } },
    { state: 'reverting', decision: 'source', ends: { state: 'rolled-back', decision: 'source' } },
  ] as const;
  const directory = t.testdir();
  for (const { state, decision, ends } of cases) {
    const { lab, id } = await startAfterDeath(join(directory, state), state, decision);
    t.teardown(() => lab.close());
    const { site, workflow } = lab.service;
    await resolveByPerson(site, id, 'source');
    t.match(site.store.get(id), ends);
    await t.rejects(resolveByPerson(site, id, 'source'), { code: 'bad-request' });
    lab.world.setRunning('source', true);
    await workflow.start(REQUEST);
    await workflow.settled();
    t.ok(lab.world.target_runs, 'and its machines take part in migrations again');
  }
  const { lab, id } = await startAfterDeath(join(directory, 'frozen'), 'frozen', 'none');
  t.teardown(() => lab.close());
  await t.rejects(resolveByPerson(lab.service.site, id, 'source'), { code: 'bad-request' });
});

t.test('an agent of another machine at that address is not believed', async (t) => {
  const { lab, id } = await startAfterDeath(t.testdir(), 'reverting', 'source', {
    agent_answers: true,
    agent_name: 'node3',
  });
  t.teardown(() => lab.close());
  lab.world.setRunning('source', true);
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.match(lab.service.site.store.get(id), { state: 'in-doubt', decision: 'source' });
});

t.test('machines of an attempt that is not settled take part in no other', async (t) => {
  const directory = t.testdir();
  for (const [state, decision] of [
    ['going', 'go'],
    ['reverting', 'source'],
  ] as const) {
    const { lab } = await startAfterDeath(join(directory, state), state, decision);
    t.teardown(() => lab.close());
    await t.rejects(lab.service.workflow.start(REQUEST), {
      code: 'conflict',
      detail: /not settled/,
    });
  }
});

t.test('a doubt ends when the agent of the source answers', async (t) => {
  const { lab, id } = await startAfterDeath(t.testdir(), 'reverting', 'source', {
    agent_answers: true,
  });
  t.teardown(() => lab.close());
  const { store } = lab.service.site;
  t.equal(store.get(id)?.state, 'in-doubt');
  lab.world.setRunning('source', true);
  await eventually(() => store.get(id)?.state === 'rolled-back');
  t.match(store.get(id), { owner: 'source', decision: 'source' });
});

t.test(
  'died in committed, before it ordered the jump: the standby has the image still',
  async (t) => {
    const directory = t.testdir();
    const store = await FileStore.open(directory);
    const { id, generation } = await store.create(newRecord(DOUBT));
    await store.close();
    const lab = await startLab(directory, {}, {}, 'no standby');
    t.teardown(() => lab.close());
    const key = { attempt: id, generation: BigInt(generation) };
    lab.world.key = key;
    lab.world.setRunning('source', false);
    const { port } = lab.service.control;
    const peer = new Peer('standby', port, TARGET_ADDRESS, (message) => {
      if (message.type === 'abort') peer.send({ type: 'waiting', ...key });
    });
    t.teardown(() => peer.close());
    peer.hello(id, key.generation);
    peer.send({ type: 'ready', ...key, chunks: 1n, raw_bytes: 1n, chain: 1n });
    await eventually(() => lab.service.site.store.get(id)?.decision === 'source');
    lab.world.connectSource(port);
    await eventually(() => lab.service.site.store.get(id)?.state === 'rolled-back');
    t.ok(lab.world.source_runs);
    t.notOk(lab.world.both_ran);
  },
);

t.test('a doubt ends when the target waits as a standby', async (t) => {
  const { lab, id } = await startAfterDeath(t.testdir(), 'committed', 'commit');
  t.teardown(() => lab.close());
  const { store } = lab.service.site;
  await eventually(() => store.get(id)?.decision === 'source');
  t.equal(store.get(id)?.state, 'in-doubt', 'nobody has heard the source yet');
  lab.world.connectSource();
  await eventually(() => store.get(id)?.state === 'rolled-back');
  t.ok(lab.world.source_runs);
  t.notOk(lab.world.both_ran);
});

t.test('a peer of a generation that is not known is turned away', async (t) => {
  const { lab, id } = await startAfterDeath(t.testdir(), 'going', 'go');
  t.teardown(() => lab.close());
  lab.world.key = { attempt: id, generation: 77n };
  lab.world.connectResumed();
  await eventually(() => lab.world.resumed?.heard.some(({ type }) => type === 'error') === true);
  t.notOk(lab.world.ordered('go'));
});

t.test('the machines can take part in another migration', async (t) => {
  const { lab } = await startAfterDeath(t.testdir(), 'frozen', 'none');
  t.teardown(() => lab.close());
  lab.world.setRunning('source', true);
  const { id } = await lab.service.workflow.start(REQUEST);
  await lab.service.workflow.settled();
  t.match(lab.service.site.store.get(id), { state: 'moved', generation: 2 });
});
