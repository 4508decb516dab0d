/**
 * Every fault that is tried: where it strikes, what it is, and which machine has to run afterwards. The ids are stable:
 * `Fnn` is the phase (agent/wire/phases.yaml), then who is struck (pmsm-freeze, pmsm-restore, or a machine), then how.
 *
 * The promise is the protocol's (docs/protocol.md): up to `commit` the source goes on whatever happens, from `go` on
 * the target does, and in between whoever the orchestrator's record names.
 */
import { PHASE_BY_NAME, type PhaseName } from '../../../agent/wire/phases.gen.ts';

/** Who is told to strike at what: the helpers know by themselves (agent/native/common/fault.h). */
export type Strike =
  | { readonly by: 'source-helper' | 'standby-helper'; readonly action: string }
  /** The plug is pulled when the orchestrator begins the phase. */
  | { readonly by: 'lab'; readonly victim: Side };

export type Side = 'source' | 'target';

export interface Expected {
  readonly owner: Side;
  readonly outcome: 'moved' | 'rolled-back';
  /** Either the same machine with all of its memory, or the one that its disk has, after a boot. */
  readonly machine: 'goes on' | 'boots';
  /** What has become of the other machine; `away` is off, or waiting as a standby, whichever comes first. */
  readonly other: 'off' | 'standby' | 'away' | 'held';
  /** Of the report; null if it has none. Several if it depends on who is faster. */
  readonly codes: readonly (string | null)[];
  /** Of the report; null if it does not matter. */
  readonly warnings: readonly string[] | null;
  readonly outage_ms_max: number;
}

export interface FaultCase {
  readonly id: string;
  readonly where: PhaseName;
  readonly what: string;
  readonly strike: Strike;
  /** Which machine is reset, and powers on again by itself as every machine does. */
  readonly resets: Side | null;
  readonly expected: Expected;
}

/** A helper that dies is followed by its deputy, which connects anew; or the kernel thaws at once. */
const OUTAGE_MS_MAX = 5000;
/**
 * One that gets stuck is ended when its lease has ended (3 s) and the guard has seen that (1.5 s). The client tries
 * again after 6.2 s, and on a host that is so slow that it was too early, after 12.6 s.
 */
const STUCK_OUTAGE_MS_MAX = 13_500;
/** The wait for a target that says nothing (15 s), its fence, and a client that doubles its pauses between tries. */
const SILENT_OUTAGE_MS_MAX = 60_000;
/** A boot in an emulated machine, and what its database does to recover. */
const BOOT_OUTAGE_MS_MAX = 180_000;

const MOVED: Expected = {
  owner: 'target',
  outcome: 'moved',
  machine: 'goes on',
  other: 'off',
  codes: [null],
  warnings: [],
  outage_ms_max: OUTAGE_MS_MAX,
};
const KEPT: Expected = {
  owner: 'source',
  outcome: 'rolled-back',
  machine: 'goes on',
  other: 'standby',
  codes: [],
  warnings: null,
  outage_ms_max: OUTAGE_MS_MAX,
};

/** A reset is named by its machine, all else by the program that does it. */
function struckBy(by: 'source-helper' | 'standby-helper', program: 'freeze' | 'restore') {
  return (
    where: PhaseName,
    action: string,
    what: string,
    expected: Expected,
    resets: Side | null = null,
  ): FaultCase => {
    const id = `${faultOf(where)}-${resets ?? program}-${action}`;
    return { id, where, what, strike: { by, action }, resets, expected };
  };
}

const helper = struckBy('source-helper', 'freeze');
const standby = struckBy('standby-helper', 'restore');

const plug = (where: PhaseName, victim: Side, what: string, expected: Expected): FaultCase => ({
  id: `${faultOf(where)}-${victim}-plug`,
  where,
  what,
  strike: { by: 'lab', victim },
  resets: victim,
  expected,
});

export function faultOf(phase: PhaseName): string {
  return PHASE_BY_NAME[phase].fault;
}

/** Crashes of pmsm-freeze: when, and what follows. */
const HELPER_DEATHS: readonly (readonly [PhaseName, string, Expected])[] = [
  // The commit may be on record by then: it is not answered, and the source has thawed.
  ['verify', 'when it has sent all', { ...KEPT, codes: ['source-lost', 'already-thawed'] }],
  ['commit', 'before it says that it has given up', MOVED],
  ['jump', 'when it has said so', MOVED],
  ['alive', 'as the new body wakes up', MOVED],
  ['go', 'when it has reported from there', MOVED],
  ['thaw', 'when go has come', MOVED],
  ['release', 'as the vacated machine powers off', MOVED],
];

/** Crashes of pmsm-restore. Once its kernel has jumped, it is not there any more. */
const STANDBY_DEATHS: readonly (readonly [PhaseName, string, readonly string[]])[] = [
  ['verify', 'when it has all', ['target-lost', 'stream-failed']],
  ['commit', 'when it has said that it is ready', ['target-lost', 'not-jumped']],
  ['jump', 'when it is told to jump', ['not-jumped']],
];

const SIGNALS = [
  ['kill', 'is killed'],
  ['segv', 'crashes'],
] as const;

const RESETS: readonly FaultCase[] = [
  helper(
    'send',
    'reset',
    'the source is reset while it sends',
    { ...booted(KEPT), codes: ['source-lost', 'stream-failed'] },
    'source',
  ),
  helper(
    'verify',
    'reset',
    'the source is reset when it has sent all',
    { ...booted(KEPT), codes: ['source-lost', 'stream-failed', 'already-thawed'] },
    'source',
  ),
  helper(
    'commit',
    'reset',
    'the source is reset before it says that it has given up',
    { ...booted(KEPT), codes: ['already-thawed', 'source-reset', 'commit-unanswered'] },
    'source',
  ),
  helper('jump', 'reset', 'the source is reset when it has given up', vacated(), 'source'),
  plug('alive', 'source', 'the source loses power as the target wakes up', vacated()),
  plug('thaw', 'source', 'the source loses power when go was recorded', vacated()),
  helper('release', 'reset', 'the source is reset as it is released', vacated(), 'source'),
  standby(
    'verify',
    'reset',
    'the target is reset when it has all',
    { ...KEPT, codes: ['target-lost', 'stream-failed', 'stalled'] },
    'target',
  ),
  standby(
    'commit',
    'reset',
    'the target is reset when it has said that it is ready',
    {
      ...KEPT,
      codes: ['target-lost', 'target-silent', 'not-jumped', 'fenced-target'],
      outage_ms_max: SILENT_OUTAGE_MS_MAX,
    },
    'target',
  ),
  standby('jump', 'reset', 'the target is reset when it is told to jump', silent(), 'target'),
  helper('alive', 'reset', 'the target is reset as it wakes up', silent(), 'target'),
  helper(
    'go',
    'reset',
    'the target is reset when it has reported: go is on its way',
    { ...booted(MOVED), codes: ['thaw-unconfirmed'], warnings: null },
    'target',
  ),
  helper(
    'thaw',
    'reset',
    'the target is reset when go has come: an ordinary crash of that machine',
    { ...booted(MOVED), codes: ['thaw-unconfirmed'], warnings: null },
    'target',
  ),
];

const STUCK: readonly FaultCase[] = [
  helper('send', 'stop', 'the helper gets stuck, and the kernel thaws', {
    ...KEPT,
    codes: ['lease-ended', 'source-lost', 'stalled', 'stream-failed'],
    outage_ms_max: STUCK_OUTAGE_MS_MAX,
  }),
  helper('thaw', 'late', 'the helper dies when it has taken go, and its deputy is gone', {
    ...MOVED,
    warnings: null,
    codes: ['thaw-unconfirmed'],
  }),
  helper('thaw', 'hang', 'the helper gets stuck when it has taken go, and its deputy is gone', {
    ...MOVED,
    warnings: null,
    codes: ['thaw-unconfirmed'],
    outage_ms_max: STUCK_OUTAGE_MS_MAX,
  }),
];

const SEVERAL: readonly FaultCase[] = [
  helper('jump', 'both', 'helper and deputy die on the source, which stays frozen', {
    ...MOVED,
    other: 'held',
    warnings: ['release-unconfirmed'],
  }),
  helper('alive', 'both', 'helper and deputy die on the new body, which stays frozen', {
    ...KEPT,
    other: 'off',
    codes: ['fenced-target'],
    outage_ms_max: SILENT_OUTAGE_MS_MAX,
  }),
];

const WATCHERS: readonly FaultCase[] = [
  helper('precopy', 'guard', 'the guard dies before anything stands still', {
    ...KEPT,
    codes: ['internal'],
  }),
  helper('snapshot', 'guard', 'the guard dies in the window', MOVED),
  helper('verify', 'deputy', 'the deputy dies on the source', MOVED),
  helper('alive', 'deputy', 'the deputy dies on the new body', MOVED),
];

export const CASES: readonly FaultCase[] = [
  ...HELPER_DEATHS.flatMap(([where, when, expected]) =>
    SIGNALS.map(([action, verb]) => helper(where, action, `the helper ${verb} ${when}`, expected)),
  ),
  ...STANDBY_DEATHS.flatMap(([where, when, codes]) =>
    SIGNALS.map(([action, verb]) =>
      standby(where, action, `the standby's program ${verb} ${when}`, { ...KEPT, codes }),
    ),
  ),
  ...WATCHERS,
  ...SEVERAL,
  ...STUCK,
  ...RESETS,
];

/** Its memory is lost with the machine; what it has acknowledged is on its disk. */
function booted(expected: Expected): Expected {
  return { ...expected, machine: 'boots', outage_ms_max: BOOT_OUTAGE_MS_MAX };
}

/** The machine goes on on the target, and the one that was reset waits as a standby. */
function vacated(): Expected {
  return { ...MOVED, other: 'standby', warnings: ['release-unconfirmed'] };
}

/** The target does not run what it was given, and how long it takes to be certain depends on who says so first. */
function silent(): Expected {
  return {
    ...KEPT,
    other: 'away',
    codes: ['fenced-target', 'not-jumped'],
    outage_ms_max: SILENT_OUTAGE_MS_MAX,
  };
}

export function caseOf(id: string): FaultCase | undefined {
  return CASES.find((one) => one.id === id);
}
