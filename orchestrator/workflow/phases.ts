/**
 * The phases of a migration: what each does, and beside it what takes it back.
 *
 * The order of the table is the order in which they run; `run.ts` takes the undos from the phase
 * that failed back to the first. The names, limits and owners are those of agent/wire/phases.yaml.
 *
 * - `plan` and `preflight` change nothing, so nothing takes them back.
 * - The standby is reserved before the source does anything: a machine that cannot be reserved must
 *   not cost the source a measurement.
 * - From `prepare` to `verify` the undo is the same order, `abort`. The source would thaw without it
 *   too, after the stall limit; the order makes it quick.
 * - `commit`, `jump` and `alive` take from the source the right to thaw on its own. `takeBack` gives
 *   it back, but only once the target is known not to run.
 * - From `go` on the target owns the state. There is no undo: its failures are reported, not
 *   repaired, since whatever the machine has said to the world stays said.
 */
import type { PhaseName } from '../../agent/wire/phases.gen.ts';
import type { Attempt } from './attempt.ts';
import { abortStandby, takeBack, thawSource } from './back.ts';
import { alive, commit, go, jump, release, thaw } from './handover.ts';
import { isDelta, precopy } from './precopy.ts';
import { plan, preflight, prepare, reserve } from './preparation.ts';
import type { Site } from './site.ts';
import { freeze, quarantine, send, snapshot, verify } from './window.ts';

export type Do = (site: Site, attempt: Attempt) => Promise<void>;
export type Undo = (site: Site, attempt: Attempt) => Promise<void>;

export interface PhaseWork {
  name: PhaseName;
  do: Do;
  undo: Undo | undefined;
  /** Absent: always. */
  when?: (attempt: Attempt) => boolean;
}

export const WORK: readonly PhaseWork[] = [
  { name: 'plan', do: plan, undo: undefined },
  { name: 'preflight', do: preflight, undo: undefined },
  { name: 'reserve', do: reserve, undo: abortStandby },
  { name: 'prepare', do: prepare, undo: thawSource },
  { name: 'precopy', do: precopy, undo: thawSource, when: isDelta },
  { name: 'quarantine', do: quarantine, undo: thawSource },
  { name: 'freeze', do: freeze, undo: thawSource },
  { name: 'snapshot', do: snapshot, undo: thawSource },
  { name: 'send', do: send, undo: thawSource },
  { name: 'verify', do: verify, undo: thawSource },
  { name: 'commit', do: commit, undo: takeBack },
  { name: 'jump', do: jump, undo: takeBack },
  { name: 'alive', do: alive, undo: takeBack },
  { name: 'go', do: go, undo: takeBack },
  { name: 'thaw', do: thaw, undo: undefined },
  { name: 'release', do: release, undo: undefined },
];
