import t from 'tap';
import { FileStore } from '../../../orchestrator/store/file-store.ts';
import { STATES } from '../../../orchestrator/store/record.ts';
import { StaleVersion } from '../../../orchestrator/store/store.ts';
import {
  IllegalTransition,
  isFinal,
  isLegal,
  ownerIn,
  transition,
} from '../../../orchestrator/workflow/state.ts';
import { newRecord } from './records.ts';

t.test('the promises that the table keeps', async (t) => {
  const into = (to: (typeof STATES)[number]) => STATES.filter((from) => isLegal(from, to));
  t.strictSame(into('going'), ['committed'], 'the target may run only after commit');
  t.strictSame(into('committed'), ['frozen']);
  t.strictSame(into('moved'), ['going', 'releasing', 'moved']);
  t.strictSame(into('releasing'), ['going'], 'the source is let go only once the target runs');
  t.notOk(isLegal('fencing', 'going'), 'never towards a target that may be fenced');
  t.notOk(isLegal('in-doubt', 'going'));
  t.notOk(isLegal('reverting', 'going'), 'never after the source was told to thaw');
  t.notOk(isLegal('going', 'reverting'), 'never back once the target owns the state');
  for (const before of ['committed', 'fencing', 'going', 'releasing', 'reverting'] as const) {
    t.notOk(isLegal(before, 'aborting'), `${before} is past the free abort`);
  }
  const again = STATES.filter((state) => isLegal(state, state));
  t.strictSame(again, ['moved', 'in-doubt'], 'only with a decision that comes late');
  t.notOk(isLegal('moved', 'rolled-back'));
});

t.test('every state but the final ones leads on, to a final one', async (t) => {
  const reaches = (from: (typeof STATES)[number], seen: Set<string>): boolean => {
    if (isFinal(from)) return true;
    seen.add(from);
    return STATES.some((to) => isLegal(from, to) && !seen.has(to) && reaches(to, seen));
  };
  for (const state of STATES) t.ok(reaches(state, new Set()), state);
});

t.test('who runs', async (t) => {
  const owners = Object.fromEntries(STATES.map((state) => [state, ownerIn(state)]));
  t.strictSame(owners, {
    planned: 'source',
    preparing: 'source',
    frozen: 'source',
    committed: 'in-doubt',
    going: 'target',
    releasing: 'target',
    aborting: 'source',
    fencing: 'in-doubt',
    reverting: 'source',
    moved: 'target',
    'rolled-back': 'source',
    refused: 'source',
    'in-doubt': 'in-doubt',
  });
});

t.test('transition', async (t) => {
  const store = await FileStore.open(t.testdir());
  t.teardown(() => store.close());
  const { id } = await store.create(newRecord());

  await t.rejects(transition(store, id, 'planned', 'going'), IllegalTransition);
  await t.rejects(transition(store, id, 'preparing', 'frozen'), StaleVersion);
  await t.rejects(transition(store, 'f'.repeat(32), 'planned', 'preparing'), IllegalTransition);
  t.match(store.get(id), { state: 'planned', version: 1 }, 'nothing has changed');

  await transition(store, id, 'planned', 'preparing');
  t.match(store.get(id), { state: 'preparing', version: 2, owner: 'source', ended_at: null });
  await transition(store, id, 'preparing', 'frozen');

  const both = await Promise.allSettled([
    transition(store, id, 'frozen', 'committed', { decision: 'commit' }),
    transition(store, id, 'frozen', 'aborting'),
  ]);
  t.strictSame(
    both.map(({ status }) => status),
    ['fulfilled', 'rejected'],
    'of two that leave the same state one wins',
  );
  t.match(store.get(id), { state: 'committed', decision: 'commit' });
});
