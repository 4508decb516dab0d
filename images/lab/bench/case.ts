/**
 * One run of the bench: a lab, one move, one report. It is booted, although a saved pair would be sooner: an emulator
 * that was loaded from a file has nothing translated, and what of a kernel runs once a move (devices stop and
 * start) takes twice as long then, which no machine of metal knows.
 */
import { inTree } from '../../paths.ts';
import type { Progress } from '../../progress.ts';
import { describeEnvironment } from '../demo/environment.ts';
import { Load } from '../demo/load.ts';
import { makeMove, rememberMachine, type Scene } from '../demo/one-move.ts';
import { type DemoOptions, DemoOptionsSchema, smallLoader } from '../demo/options.ts';
import type { Report } from '../demo/report/schema.ts';
import { openStage } from '../demo/stage.ts';
import { type Ballast, CHANGING_MIB, endBallast, startBallast } from '../guest/ballast.ts';
import { engines } from './engines/index.ts';
import type { BenchOptions } from './options.ts';
import { type Case, keyOf } from './plan.ts';

/** What the way through the orchestrator is told; the other engines look at lab and load only. */
function demoOptions({ engine, memory_mib, load }: Case, { lab }: BenchOptions): DemoOptions {
  const own_mib = engine === 'delta' ? smallLoader(engine, lab.kernel) : 0;
  return DemoOptionsSchema.parse({
    lab: { ...lab, memory_mib, ...(own_mib > 0 && { standby_memory_mib: own_mib }) },
    engine: engine === 'full' || engine === 'delta' ? engine : 'auto',
    load,
    moves: 1,
    codec: 'auto',
    json: null,
    keep: false,
    check: false,
  });
}

/** Where consoles and records of a run that failed stay. */
function logsOf({ engine, run, ...setting }: Case): string {
  return inTree('build/bench/logs', `${engine} ${run} ${keyOf(setting)}`.replaceAll(' ', '-'));
}

/** What changes is held as well. */
function ballastOf({ memory_mib, fill_percent, change_mib_per_s }: Case): Ballast {
  const held_mib = Math.floor((memory_mib * fill_percent) / 100);
  const least_mib = change_mib_per_s > 0 ? CHANGING_MIB : 0;
  return { held_mib: Math.max(held_mib, least_mib), change_mib_per_s };
}

/** The report, with what is wrong in the memory that was held. */
async function weigh({ stage }: Scene, report: Report): Promise<Report> {
  const wrong = await endBallast(stage.onHost).catch((error: Error) => `ballast: ${error.message}`);
  if (wrong === '') return report;
  const { client } = report;
  const judged = { ...report, client: { ...client, errors: [...client.errors, wrong] } };
  return { ...judged, ok: false };
}

export async function runCase(
  wanted: Case,
  bench: BenchOptions,
  progress: Progress,
): Promise<Report> {
  const options = demoOptions(wanted, bench);
  const engine = engines[wanted.engine];
  const stage = await openStage(options, progress);
  let ok = false;
  try {
    const { fill_percent, change_mib_per_s } = wanted;
    const found = await describeEnvironment(stage, options);
    const environment = { ...found, fill_percent, change_mib_per_s };
    const connection = engine.keeps === 'machine' ? 'kept' : 'reconnect';
    const load = await Load.start(
      options.load,
      stage.runDir,
      stage.inNetwork,
      progress,
      connection,
    );
    try {
      const origin = await rememberMachine(stage, options);
      const scene: Scene = { stage, load, origin, options, environment, keeps: engine.keeps };
      await engine.prepare(scene);
      const ballast = ballastOf(wanted);
      if (ballast.held_mib > 0) await startBallast(stage.onHost, ballast);
      const report = await makeMove(scene, () => engine.move(scene));
      const { keeps } = engine;
      const checked =
        ballast.held_mib > 0 && keeps === 'machine' ? await weigh(scene, report) : report;
      ok = checked.ok;
      // Refused or rolled back, it is still this engine's.
      return { ...checked, engine: wanted.engine };
    } finally {
      await load.stop();
    }
  } finally {
    await stage.close(ok ? null : logsOf(wanted));
  }
}
