/** One fault, in a lab of its own: the machine moves, the fault strikes, and then everybody is asked who runs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { Client } from '../../../orchestrator/cli/client.ts';
import type { Progress } from '../../progress.ts';
import { ROOT_OFFSET_BYTES } from '../../rootfs.ts';
import { attemptOf } from '../demo/assemble.ts';
import type { Check } from '../demo/client/protocol.ts';
import { complaintsIn } from '../demo/complaints.ts';
import { findGaps, gapIsClosed, round } from '../demo/gaps.ts';
import { Load } from '../demo/load.ts';
import { comesFirst, type Moved, move, waitForHost } from '../demo/migrate.ts';
import { type Origin, WARM_UP_MS } from '../demo/one-move.ts';
import { describeEvent } from '../demo/talk.ts';
import {
  askServices,
  askWitness,
  compareWitness,
  diskIsClean,
  servicesWentOn,
} from '../demo/verify.ts';
import { witnessExtras } from '../guest/witness.ts';
import { Lab, MACHINES, type MachineName } from '../lab.ts';
import type { Expected, FaultCase } from './cases.ts';
import { leftoversOn } from './leftovers.ts';
import type { Checks, Result } from './results.ts';
import { arm, bootAgain, hasStruck, SIDES, strikeAt } from './strike.ts';

const STATE_LIMIT_MS = 120_000;
const ANSWER_LIMIT_MS = 240_000;
const POWER_OFF_LIMIT_MS = 60_000;
/** What a standby of the product uses itself. */
const STANDBY_MIB = 128;
const UNITS = ['mysql.service'];
const HELD = /held frozen, and nobody is left to thaw it/;
const FAILURES_MAX = 100;
const TEXT_MAX = 1900;

const ownerSchema = z.looseObject({ state: z.string(), machine: z.string() });

/** What is there, or has happened, when the fault has struck. */
interface Scene {
  readonly one: FaultCase;
  readonly lab: Lab;
  readonly orchestrator: Client;
  readonly load: Load;
  readonly origin: Origin;
}

export async function runCase(
  one: FaultCase,
  progress: Progress,
  keepLogs: (runDir: string) => void,
): Promise<Result> {
  const begin_ms = performance.now();
  const extras = await witnessExtras(progress);
  const lab = await Lab.start({ saved: true, standby_memory_mib: STANDBY_MIB, extras }, progress);
  let ok = false;
  try {
    await progress.step('Setting the fault', () => arm(lab, one));
    const connection = one.expected.machine === 'goes on' ? 'kept' : 'reconnect';
    const inside = (argv: string[]) => lab.inside(argv);
    const load = await Load.start('light', lab.runDir, inside, progress, connection);
    try {
      const orchestrator = new Client({ socketPath: lab.orchestratorSocket });
      const origin = await progress.step('Remembering the machine', () => remember(lab));
      const scene = { one, lab, orchestrator, load, origin };
      const result = await strikeAndJudge(scene, progress);
      ok = result.ok;
      return { ...result, seconds: Math.round((performance.now() - begin_ms) / 1000) };
    } finally {
      await load.stop();
    }
  } finally {
    if (!ok) keepLogs(lab.runDir);
    await lab.stop();
  }
}

/** The lab failed, or the fault did not strike: nothing is known, so nothing holds. */
export function notPlayed(one: FaultCase, why: string): Result {
  return {
    ...titleOf(one),
    ok: false,
    outcome: 'not played',
    code: null,
    owner: 'unknown',
    outage_ms: null,
    checks: NOTHING_HOLDS,
    failures: [why.slice(0, TEXT_MAX)],
    seconds: 0,
  };
}

const titleOf = ({ id, where, what, expected }: FaultCase) => ({
  id,
  where,
  what,
  expected_owner: expected.owner,
});

async function remember(lab: Lab): Promise<Origin> {
  const onHost = (command: string) => lab.ssh(command);
  const services = await askServices(onHost, UNITS);
  return { witness: await askWitness(onHost), asked_ns: process.hrtime.bigint(), services };
}

async function strikeAndJudge(scene: Scene, progress: Progress): Promise<Omit<Result, 'seconds'>> {
  const { one, orchestrator } = scene;
  for (const [side, state] of [
    ['source', 'running'],
    ['target', 'standby'],
  ] as const) {
    await waitForHost(orchestrator, SIDES[side], state, STATE_LIMIT_MS);
  }
  await sleep(WARM_UP_MS);
  const { moved, source_was_on } = await progress.step('Moving', () =>
    moveWithFault(scene, progress),
  );
  const failures: string[] = [];
  // Until the target was heard to run, the source is the last copy of what was in memory.
  if (one.expected.owner === 'target' && one.expected.machine === 'boots' && !source_was_on) {
    failures.push('the last copy was let go before the target ran');
  }
  return await progress.step('Asking everybody', () => judge(scene, moved, failures));
}

/** A machine that is reset powers on at once, whatever the attempt does meanwhile. */
async function moveWithFault(
  scene: Scene,
  progress: Progress,
): Promise<{ moved: Moved; source_was_on: boolean }> {
  const { one, lab } = scene;
  const source = lab.machines[SIDES.source];
  if (!one.resets) {
    return { moved: await migrate(scene, progress), source_was_on: source.isRunning() };
  }
  const over = new AbortController();
  const booted = bootAgain(lab, one.resets, over.signal);
  try {
    const moved = await migrate(scene, progress);
    const source_was_on = source.isRunning();
    await booted;
    return { moved, source_was_on };
  } finally {
    over.abort();
    await booted.catch(() => undefined);
  }
}

async function migrate({ one, lab, orchestrator }: Scene, progress: Progress): Promise<Moved> {
  const standby = lab.machines[SIDES.target];
  return await move(orchestrator, { source: SIDES.source, target: SIDES.target }, (event) => {
    strikeAt(lab, one, event);
    comesFirst(standby, event);
    const text = event.kind === 'phase' ? null : describeEvent(event);
    if (text !== null) progress.note(`  ${text}`);
  });
}

async function judge(
  scene: Scene,
  moved: Moved,
  failures: string[],
): Promise<Omit<Result, 'seconds'>> {
  const { one, load } = scene;
  const { expected } = one;
  const answered = await load.commitsAfter(attemptOf(moved).end_ns, ANSWER_LIMIT_MS);
  const commits = load.commits();
  const gap = findGaps(commits, attemptOf(moved)).client;
  const closed = answered && gapIsClosed(commits, attemptOf(moved)) && gap !== null;
  const outage_ms = closed ? round(gap) : null;
  const checks = await examine(scene, closed, failures);
  if (!hasStruck(scene.lab, one)) failures.push('the fault did not strike');
  const { outcome, owner, error, warnings } = moved.report;
  const warned = warnings.map((warning) => warning.code).join(', ');
  if (expected.warnings && warned !== expected.warnings.join(', ')) {
    failures.push(`it warns of ${warned || 'nothing'}`);
  }
  const code = error?.code ?? null;
  if (!closed) failures.push('the client never got an answer after the attempt');
  if (outcome !== expected.outcome) failures.push(`it was ${outcome}`);
  if (owner !== expected.owner) failures.push(`the owner is the ${owner}`);
  if (!expected.codes.includes(code)) failures.push(`it says ${code}: ${error?.detail ?? ''}`);
  if (outage_ms !== null && outage_ms > expected.outage_ms_max) {
    failures.push(`the client saw ${outage_ms} ms, more than ${expected.outage_ms_max}`);
  }
  for (const [name, held] of Object.entries(checks)) {
    if (held === false) failures.push(`does not hold: ${name}`);
  }
  return {
    ...titleOf(one),
    ok: failures.length === 0,
    outcome,
    code,
    owner,
    outage_ms,
    checks,
    failures: failures.slice(0, FAILURES_MAX).map((text) => text.slice(0, TEXT_MAX)),
  };
}

const NOTHING_HOLDS: Checks = {
  rows: false,
  connection: false,
  disk: false,
  file: false,
  memory: false,
  continued: false,
  services: false,
  kernels: false,
  owner_record: false,
  other: false,
  leftovers: false,
};

/** A machine that does not answer has nothing verified; what goes wrong while asking is told beside it. */
async function examine(scene: Scene, answers: boolean, failures: string[]): Promise<Checks> {
  if (!answers) return NOTHING_HOLDS;
  const { one, lab, load } = scene;
  const { expected } = one;
  const attempt = async <T>(what: string, work: () => Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      failures.push(`${what}: ${(error as Error).message}`);
      return otherwise;
    }
  };
  const onHost = (command: string) => lab.ssh(command);
  const goesOn = expected.machine === 'goes on';
  const rest = await attempt<Check | null>('rows', () => load.rest(), null);
  failures.push(...(rest?.errors ?? []).map((text) => `client: ${text}`));
  const other = await attempt('other machine', () => otherIsRight(scene), false);
  const none = { memory: false, file: false, continued: false };
  const witness = goesOn ? await attempt('witness', () => compare(scene), none) : null;
  const services = async () => servicesWentOn(onHost, UNITS, scene.origin.services);
  const disk = { file: lab.diskPath, offset_bytes: ROOT_OFFSET_BYTES };
  const clean = () => diskIsClean(onHost, disk, `${lab.runDir}/e2fsck.log`);
  const left = await attempt('leftovers', () => leftoversOn(lab), ['it could not be asked']);
  failures.push(...left);
  return {
    rows: rest?.rows_agree === true && rest.lost === 0,
    connection: goesOn ? rest?.connection_survived === true : null,
    disk: await attempt('disk', clean, false),
    file: witness?.file ?? null,
    memory: witness?.memory ?? null,
    continued: witness?.continued ?? null,
    services: goesOn ? await attempt('services', services, false) : null,
    kernels: await attempt('kernels', () => kernelsAreContent(lab, failures), false),
    owner_record: await attempt('owner', () => diskNames(lab, SIDES[expected.owner]), false),
    other,
    leftovers: left.length === 0,
  };
}

async function compare({ lab, origin }: Scene) {
  const after = await askWitness((command) => lab.ssh(command));
  const elapsed_ms = Number((process.hrtime.bigint() - origin.asked_ns) / 1_000_000n);
  return compareWitness(origin.witness, after, elapsed_ms);
}

async function kernelsAreContent(lab: Lab, failures: string[]): Promise<boolean> {
  const logs = [
    await lab.ssh('dmesg'),
    ...MACHINES.map((name) => lab.machines[name].consoleText()),
  ];
  const complaints = logs.flatMap(complaintsIn);
  failures.push(...complaints.map((line) => `kernel: ${line}`));
  return complaints.length === 0;
}

async function diskNames(lab: Lab, machine: MachineName): Promise<boolean> {
  const said = ownerSchema.parse(JSON.parse(await lab.ssh('/opt/pmsm/pmsm-freeze owner')));
  return said.state === 'owned' && said.machine === machine;
}

/** Not a second one that runs: off, waiting, or frozen until somebody switches it off. */
async function otherIsRight({ one, lab, orchestrator }: Scene): Promise<boolean> {
  const { owner, other } = one.expected;
  const name = owner === 'target' ? SIDES.source : SIDES.target;
  const machine = lab.machines[name];
  const waits = () => waitForHost(orchestrator, name, 'standby', STATE_LIMIT_MS);
  const rules: Record<Expected['other'], () => Promise<unknown>> = {
    off: () => machine.waitForPowerOff(POWER_OFF_LIMIT_MS),
    standby: waits,
    away: async () => machine.isRunning() && (await waits()),
    held: () => machine.waitForConsole('held frozen', POWER_OFF_LIMIT_MS),
  };
  await rules[other]();
  return other !== 'held' || (machine.isRunning() && HELD.test(machine.consoleText()));
}
