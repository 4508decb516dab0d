/** A machine that was reset in an attempt asks whether it may boot. */
import t, { type Test } from 'tap';
import type { MessageOf } from '../../../agent/wire/wire.gen.ts';
import { FileStore } from '../../../orchestrator/store/file-store.ts';
import type { Decision, State } from '../../../orchestrator/store/record.ts';
import type { NewMigration } from '../../../orchestrator/store/store.ts';
import { ownerOf } from '../../../orchestrator/workflow/claim.ts';
import { eventually, type Lab, Peer, SOURCE_ADDRESS, startLab, TARGET_ADDRESS } from './fakes.ts';
import { newRecord } from './records.ts';

t.test('whose the state is', async (t) => {
  const cases: Array<[State, Decision, string | undefined]> = [
    ['planned', 'none', undefined],
    ['preparing', 'none', undefined],
    ['frozen', 'none', undefined],
    ['aborting', 'none', 'node1'],
    ['rolled-back', 'none', 'node1'],
    ['refused', 'none', 'node1'],
    ['committed', 'commit', undefined],
    ['fencing', 'commit', undefined],
    ['in-doubt', 'commit', undefined],
    ['in-doubt', 'source', 'node1'],
    ['reverting', 'source', 'node1'],
    ['rolled-back', 'source', 'node1'],
    ['going', 'go', 'node2'],
    ['releasing', 'release', 'node2'],
    ['moved', 'go', 'node2'],
    ['moved', 'release', 'node2'],
  ];
  for (const [state, decision, owner] of cases) {
    const record = { ...newRecord({ state, decision }), generation: 1, version: 1 };
    t.equal(ownerOf(record), owner, `${state}, ${decision}`);
  }
});

const DOUBT = { state: 'in-doubt', decision: 'commit' } as const;

async function startWith(t: Test, record: NewMigration) {
  const directory = t.testdir();
  const store = await FileStore.open(directory);
  const { id, generation } = await store.create(record);
  await store.close();
  const lab = await startLab(directory);
  t.teardown(() => lab.close());
  return { lab, key: { attempt: id, generation: BigInt(generation) } };
}

/** What a machine at this address hears when it claims an attempt. */
async function claim(
  t: Test,
  lab: Lab,
  address: string,
  key: { attempt: string; generation: bigint },
) {
  const answers: Array<MessageOf<'owned'>> = [];
  const { port } = lab.service.control;
  const peer = new Peer('standby', port, address, (message) => {
    if (message.type === 'owned') answers.push(message);
  });
  t.teardown(() => peer.close());
  peer.hello('0'.repeat(32), 0n);
  peer.send({ type: 'waiting', attempt: '0'.repeat(32), generation: 0n });
  peer.send({ type: 'claim', ...key });
  await eventually(() => answers.length === 1);
  t.match(answers[0], key, 'the answer names the attempt');
  return answers[0]?.ownership;
}

t.test('after go the target may boot, and the source may not', async (t) => {
  const { lab, key } = await startWith(t, newRecord({ state: 'moved', decision: 'go' }));
  t.equal(await claim(t, lab, TARGET_ADDRESS, key), 'yours');
  t.equal(await claim(t, lab, SOURCE_ADDRESS, key), 'another');
});

t.test('a source that was taken back may boot, and that ends a doubt', async (t) => {
  const { lab, key } = await startWith(t, newRecord({ state: 'in-doubt', decision: 'source' }));
  t.equal(await claim(t, lab, TARGET_ADDRESS, key), 'another');
  t.equal(await claim(t, lab, SOURCE_ADDRESS, key), 'yours');
  t.match(
    lab.service.site.store.events(key.attempt).find(({ data }) => data.booted),
    { kind: 'note', data: { booted: 'node1' } },
  );
});

t.test('in doubt nobody may', async (t) => {
  const { lab, key } = await startWith(t, newRecord({ ...DOUBT, target: 'node3' }));
  t.equal(await claim(t, lab, SOURCE_ADDRESS, key), 'undecided');
});

t.test('a target that waits does not run the image, and that decides', async (t) => {
  const { lab, key } = await startWith(t, newRecord(DOUBT));
  await eventually(() => lab.service.site.store.get(key.attempt)?.decision === 'source');
  t.equal(await claim(t, lab, TARGET_ADDRESS, key), 'another');
  t.equal(await claim(t, lab, SOURCE_ADDRESS, key), 'yours');
});

t.test('an attempt that is not known is not decided', async (t) => {
  const { lab, key } = await startWith(t, newRecord({ state: 'moved', decision: 'go' }));
  const other = { ...key, generation: 99n };
  t.equal(await claim(t, lab, TARGET_ADDRESS, other), 'undecided');
  t.equal(await claim(t, lab, TARGET_ADDRESS, { ...key, attempt: 'f'.repeat(32) }), 'undecided');
});
