/**
 * The states of a migration and who may run in each.
 *
 *     planned -> preparing -> frozen -> committed -> going -> releasing -> moved
 *         \          \          \          |  \         \______________^
 *          +----------+----------+         |   +-> fencing --+--> in-doubt
 *                     |                    |       |         |    ^   |
 *                  aborting                +--> reverting <--+    |   |
 *                  |      \                        |    |         |   |
 *               refused   rolled-back <------------+    +---------+   |
 *                              ^--------------------------------------+
 *
 * Up to `frozen` the source thaws by itself whatever happens. In `committed` neither side runs
 * without an order. The orders are decided here, by one compare-and-swap each: `going` lets the
 * target run and can be entered from `committed` only; `reverting` lets the source run, and is
 * entered when the target is known not to. From `fencing` there is no way to `going`: once the
 * target may be under its fence, a late `alive` changes nothing. In `in-doubt` the decision for the
 * source can still be recorded, when the target proves that it does not hold the image any more;
 * the doubt ends in `rolled-back` once the source is heard to run. The source is let go in `releasing`,
 * when the target was heard to run. If it was not, the migration ends as `moved` all the same, since
 * nobody else may run any more; then that can be recorded later.
 */
import type { Owner } from '../../agent/wire/phases.gen.ts';
import type { Migration, State } from '../store/record.ts';
import { StaleVersion, type Store } from '../store/store.ts';

const NEXT: Readonly<Record<State, readonly State[]>> = {
  planned: ['preparing', 'aborting'],
  preparing: ['frozen', 'aborting'],
  frozen: ['committed', 'aborting'],
  committed: ['going', 'fencing', 'reverting', 'in-doubt'],
  going: ['releasing', 'moved'],
  releasing: ['moved'],
  aborting: ['refused', 'rolled-back'],
  fencing: ['reverting', 'in-doubt'],
  reverting: ['rolled-back', 'in-doubt'],
  moved: ['moved'],
  'rolled-back': [],
  refused: [],
  'in-doubt': ['in-doubt', 'rolled-back'],
};

const FINAL: ReadonlySet<State> = new Set(['moved', 'rolled-back', 'refused', 'in-doubt']);

export type Outcome = 'moved' | 'rolled-back' | 'refused' | 'in-doubt';

export function isFinal(state: State): state is Outcome {
  return FINAL.has(state);
}

export function isLegal(from: State, to: State): boolean {
  return NEXT[from].includes(to);
}

/** Before commit a failure or a cancellation ends in a thaw of the source. */
export function isBeforeCommit(state: State): boolean {
  return state === 'planned' || state === 'preparing' || state === 'frozen';
}

/** Who runs, or may run, while a migration is in this state. */
export function ownerIn(state: State): Owner {
  if (state === 'going' || state === 'releasing' || state === 'moved') return 'target';
  const doubtful = state === 'committed' || state === 'fencing' || state === 'in-doubt';
  return doubtful ? 'in-doubt' : 'source';
}

/** The table does not allow it: a mistake in the program, never a lost race. */
export class IllegalTransition extends Error {
  override name = 'IllegalTransition';
}

type Changes = Partial<Omit<Migration, 'id' | 'generation' | 'version' | 'state'>>;

/**
 * The only way in which a migration changes its state. The caller names the state that it believes
 * to leave; if another was faster this rejects with `StaleVersion` and nothing has changed.
 * Durable when it resolves.
 */
export async function transition(
  store: Store,
  id: string,
  from: State,
  to: State,
  changes: Changes = {},
): Promise<Migration> {
  if (!isLegal(from, to)) throw new IllegalTransition(`${id}: ${from} to ${to}`);
  const current = store.get(id);
  if (!current) throw new IllegalTransition(`${id} is not known`);
  if (current.state !== from) throw new StaleVersion(`${id} is ${current.state}, not ${from}`);
  const now = new Date().toISOString();
  return await store.replace(
    {
      ...current,
      owner: ownerIn(to),
      ended_at: isFinal(to) ? now : null,
      ...changes,
      state: to,
      updated_at: now,
    },
    current.version,
  );
}

/**
 * Shows a state that could not be recorded, for the end of an attempt on a full disk. Never used
 * for a decision: those exist on the disk or not at all.
 */
export function showState(
  store: Store,
  id: string,
  state: State,
  changes: Changes = {},
): Migration {
  const current = store.get(id);
  if (!current) throw new IllegalTransition(`${id} is not known`);
  const now = new Date().toISOString();
  const ended_at = isFinal(state) ? now : null;
  const shown: Migration = { ...current, owner: ownerIn(state), ended_at, ...changes, state };
  store.overlay({ ...shown, updated_at: now });
  return shown;
}
