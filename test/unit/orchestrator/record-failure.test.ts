/** A disk that takes no record at the worst moment: no order leaves without its record. */
import t from 'tap';
import { PmsmError } from '../../../agent/wire/errors.ts';
import { FileStore } from '../../../orchestrator/store/file-store.ts';
import type { Decision, Migration, State } from '../../../orchestrator/store/record.ts';
import { EventLog } from '../../../orchestrator/workflow/events.ts';
import { endUnfinished } from '../../../orchestrator/workflow/restart.ts';
import { type Behaviour, type Lab, REQUEST, startLab } from './fakes.ts';

t.jobs = 6;

interface Case extends Behaviour {
  name: string;
  /** Records of these states cannot be written. */
  unwritable: State[];
  ends: { state: State; decision: Decision; code: string | undefined };
  runs: 'source' | 'target' | 'nobody';
}

const AFTER_GO: State[] = [
  'going',
  'releasing',
  'fencing',
  'reverting',
  'in-doubt',
  'moved',
  'rolled-back',
];

const CASES: Case[] = [
  {
    name: 'commit cannot be recorded',
    unwritable: ['committed'],
    ends: { state: 'rolled-back', decision: 'none', code: 'no-space' },
    runs: 'source',
  },
  {
    name: 'nothing can be recorded from commit on',
    unwritable: ['committed', 'aborting', 'rolled-back', ...AFTER_GO],
    ends: { state: 'rolled-back', decision: 'none', code: 'no-space' },
    runs: 'source',
  },
  {
    name: 'nothing can be recorded from go on',
    unwritable: AFTER_GO,
    fence: 'confirms',
    ends: { state: 'in-doubt', decision: 'commit', code: 'record-failed' },
    runs: 'nobody',
  },
  {
    name: 'go alone cannot be recorded, the target can be fenced',
    unwritable: ['going'],
    fence: 'confirms',
    ends: { state: 'rolled-back', decision: 'source', code: 'record-failed' },
    runs: 'source',
  },
  {
    name: 'go alone cannot be recorded, no fence',
    unwritable: ['going'],
    ends: { state: 'in-doubt', decision: 'commit', code: 'record-failed' },
    runs: 'nobody',
  },
  {
    name: 'the target refuses to jump, and that the source owns cannot be recorded',
    unwritable: ['reverting'],
    standby: { jump: { say: (key) => ({ type: 'not_jumped', ...key, system_errno: 5 }) } },
    ends: { state: 'in-doubt', decision: 'commit', code: 'record-failed' },
    runs: 'nobody',
  },
  {
    name: 'the end alone cannot be recorded',
    unwritable: ['moved'],
    ends: { state: 'moved', decision: 'release', code: undefined },
    runs: 'target',
  },
  {
    name: 'that the target runs cannot be recorded: the source is not let go',
    unwritable: ['releasing'],
    ends: { state: 'moved', decision: 'go', code: undefined },
    runs: 'target',
  },
];

function fillDisk({ service }: Lab, unwritable: State[]): void {
  const { store } = service.site;
  const replace = store.replace.bind(store);
  store.replace = async (migration: Migration, version: number) => {
    if (unwritable.includes(migration.state)) throw new PmsmError('no-space', 'as told');
    return await replace(migration, version);
  };
}

for (const one of CASES) {
  t.test(one.name, async (t) => {
    const directory = t.testdir();
    const lab = await startLab(directory, one);
    fillDisk(lab, one.unwritable);
    const { workflow, site } = lab.service;
    const { id } = await workflow.start(REQUEST);
    await workflow.settled();
    const migration = site.store.get(id);
    t.match(migration, { state: one.ends.state, decision: one.ends.decision });
    t.equal(migration?.error?.code, one.ends.code);
    t.equal(migration?.report?.outcome, one.ends.state);
    const { world } = lab;
    t.notOk(world.both_ran);
    t.equal(world.source_runs, one.runs === 'source', 'source');
    t.equal(world.target_runs, one.runs === 'target', 'target');
    t.equal(world.ordered('commit'), one.ends.decision !== 'none', 'commit only with its record');
    const { decision } = one.ends;
    t.equal(world.ordered('go'), decision === 'go' || decision === 'release', 'so go');
    t.equal(world.ordered('release'), decision === 'release', 'and release');
    await lab.close();

    // What a restart makes of it never contradicts who runs.
    const store = await FileStore.open(directory);
    t.teardown(() => store.close());
    await endUnfinished(store, new EventLog(store));
    const owner = store.get(id)?.owner;
    if (one.runs === 'nobody') t.equal(owner, 'in-doubt');
    else t.equal(owner, one.runs);
  });
}

t.test('a migration does not begin on a full disk', async (t) => {
  const lab = await startLab(t.testdir());
  t.teardown(() => lab.close());
  const { store } = lab.service.site;
  store.create = async () => {
    throw new PmsmError('no-space', 'as told');
  };
  await t.rejects(lab.service.workflow.start(REQUEST), { code: 'no-space' });
  t.strictSame(lab.world.orders, []);
  await t.rejects(lab.service.workflow.start(REQUEST), { code: 'no-space' }, 'machines are free');
});
