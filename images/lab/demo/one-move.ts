/** One move, from a machine under load to the report of what happened. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PmsmError } from '../../../agent/wire/errors.ts';
import type { MigrationEvent } from '../../../orchestrator/store/record.ts';
import { CHURN_UNIT } from '../guest/churn.ts';
import type { Witness } from '../guest/witness.ts';
import { assembleReport, attemptOf } from './assemble.ts';
import { complaintsIn } from './complaints.ts';
import { framesHold, type NamedFrame, nameFrames } from './frames.ts';
import type { Load } from './load.ts';
import { comesFirst, type Moved, move, waitForHost } from './migrate.ts';
import type { DemoOptions } from './options.ts';
import type { Environment, Report } from './report/schema.ts';
import type { MachineName, Stage } from './stage.ts';
import { askServices, askWitness, compareWitness, diskIsClean, servicesWentOn } from './verify.ts';

/** The load runs at least this long before a move, so that there is something to compare with. */
export const WARM_UP_MS = 5000;
/** An emulated machine fills 64 MiB with random bytes, twice, in seconds; in minutes if its kernel debugs itself. */
const WITNESS_LIMIT_MS = 600_000;
const WITNESS_POLL_MS = 500;
/** A client that has no answer by then will not get one. */
const ANSWER_LIMIT_MS = 60_000;
/** From the console's word that a machine is up until the orchestrator knows. */
const STATE_LIMIT_MS = 60_000;
const NS_PER_MS = 1_000_000n;

/** The way a machine goes over, and when it began and ended. */
export type Mover = () => Promise<Moved>;

/** The machine as it was before the first move. */
export interface Origin {
  readonly witness: Witness;
  readonly asked_ns: bigint;
  readonly services: readonly string[];
}

/** What a way of moving carries over: the running machine, or no more than what is on its disk. */
export type Keeps = 'machine' | 'disk';

export interface Scene {
  readonly stage: Stage;
  readonly load: Load;
  readonly origin: Origin;
  readonly options: DemoOptions;
  readonly environment: Environment;
  readonly keeps: Keeps;
}

/** What a demo's options make run on the machine. */
function unitsOf({ lab, load }: DemoOptions): string[] {
  return [`${lab.database}.service`, ...(load === 'churn' ? [CHURN_UNIT] : [])];
}

/** The witness may still be writing its file: the host counts as up before that. */
export async function rememberMachine(stage: Stage, options: DemoOptions): Promise<Origin> {
  const services = await askServices(stage.onHost, unitsOf(options));
  for (const deadline = performance.now() + WITNESS_LIMIT_MS; ; ) {
    try {
      const witness = await askWitness(stage.onHost);
      return { witness, asked_ns: process.hrtime.bigint(), services };
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(WITNESS_POLL_MS);
    }
  }
}

/** Warms up, moves, and judges. Returns with the load at rest. */
export async function makeMove(scene: Scene, mover: Mover): Promise<Report> {
  const { load } = scene;
  const warm_ns = load.opened_ns + BigInt(WARM_UP_MS) * NS_PER_MS;
  if (!(await load.commitsAfter(warm_ns, ANSWER_LIMIT_MS))) {
    throw new PmsmError('lab-failed', 'the database does not answer its client');
  }
  const moved = await mover();
  await load.commitsAfter(attemptOf(moved).end_ns, ANSWER_LIMIT_MS);
  const commits = load.commits();
  const opened_ns = load.opened_ns;
  const errors = load.errors();
  const rest = await load.rest();
  const check = scene.keeps === 'machine' ? rest : { ...rest, connection_survived: null };
  const verification = await verify(scene, moved);
  return assembleReport({
    moved,
    commits,
    opened_ns,
    check,
    errors: [...errors, ...verification.errors],
    verification: verification.found,
    differing_frames: verification.differing_frames,
    environment: scene.environment,
  });
}

/** As any user would. */
export async function throughOrchestrator(
  { stage, options }: Pick<Scene, 'stage' | 'options'>,
  source: MachineName,
  target: MachineName,
  onEvent: (event: MigrationEvent) => void,
): Promise<Moved> {
  await waitForHost(stage.orchestrator, source, 'running', STATE_LIMIT_MS);
  await waitForHost(stage.orchestrator, target, 'standby', STATE_LIMIT_MS);
  const { engine, codec, check, downtime_limit_ms, stall_ms } = options;
  const order = { source, target, engine, options: { codec, check, downtime_limit_ms, stall_ms } };
  const standby = stage.lab.machines[target];
  return await move(stage.orchestrator, order, (event) => {
    comesFirst(standby, event);
    onEvent(event);
  });
}

const NOTHING_HOLDS = {
  disk: false,
  file: false,
  memory: false,
  continued: false,
  services: false,
  kernels: false,
  frames: null,
} as const;

type Found = Parameters<typeof assembleReport>[0]['verification'];

interface Verified {
  readonly found: Found;
  readonly errors: string[];
  readonly differing_frames: NamedFrame[];
}

/** A machine that does not answer has nothing verified; why is an error beside it. */
async function verify(scene: Scene, moved: Moved): Promise<Verified> {
  if (moved.report.owner === 'in-doubt') {
    return { found: NOTHING_HOLDS, errors: [], differing_frames: [] };
  }
  const { stage, origin, options } = scene;
  const errors: string[] = [];
  const attempt = async <T>(what: string, work: Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      errors.push(`${what}: ${(error as Error).message}`.slice(0, 1000));
      return otherwise;
    }
  };
  const witness = await attempt('witness', compareToOrigin(stage, origin), NOTHING_HOLDS);
  const asked = servicesWentOn(stage.onHost, unitsOf(options), origin.services);
  const services = await attempt('services', asked, false);
  const disk = await attempt('disk', diskIsClean(stage.onHost, stage.disk, stage.fsckLog), false);
  const kernels = await attempt('kernels', kernelsAreContent(stage, errors), false);
  const { check } = moved.report;
  const differing_frames = check
    ? await attempt('frames', nameFrames(stage.onHost, check), [])
    : [];
  const frames = options.check ? framesHold(check, differing_frames) : null;
  // After a boot the services are others, and the witness has made its file anew.
  const gone = { memory: null, file: null, continued: null, services: null };
  const { memory, file, continued } = witness;
  const kept = scene.keeps === 'machine' ? { memory, file, continued, services } : gone;
  const found = { ...kept, disk, kernels, frames };
  return { found, errors, differing_frames };
}

/** The one that works is asked; what a standby says, before the jump replaces it, is on its console. */
async function kernelsAreContent(stage: Stage, errors: string[]): Promise<boolean> {
  const log = await stage.onHost('dmesg');
  const complaints = [log, ...stage.consoles()].flatMap(complaintsIn);
  /* What leads to it is not on the console, which is told of the worst only. */
  if (complaints.length > 0) writeFileSync(resolve(stage.runDir, 'dmesg.log'), log);
  errors.push(...complaints.map((line) => `kernel: ${line}`));
  return complaints.length === 0;
}

async function compareToOrigin(stage: Stage, origin: Origin) {
  const after = await askWitness(stage.onHost);
  const elapsed_ms = Number((process.hrtime.bigint() - origin.asked_ns) / NS_PER_MS);
  return compareWitness(origin.witness, after, elapsed_ms);
}
