/** One run of the bench: a lab from the saved pair, one move, one report. */
import type { Progress } from '../../progress.ts';
import { describeEnvironment } from '../demo/environment.ts';
import { Load } from '../demo/load.ts';
import { makeMove, rememberMachine, type Scene } from '../demo/one-move.ts';
import { type DemoOptions, DemoOptionsSchema, smallLoader } from '../demo/options.ts';
import type { Report } from '../demo/report/schema.ts';
import { openStage } from '../demo/stage.ts';
import { engines } from './engines/index.ts';
import type { BenchOptions } from './options.ts';
import type { Case } from './plan.ts';

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

export async function runCase(
  wanted: Case,
  bench: BenchOptions,
  progress: Progress,
): Promise<Report> {
  const options = demoOptions(wanted, bench);
  const engine = engines[wanted.engine];
  const stage = await openStage(options, progress, 'saved');
  try {
    const environment = await describeEnvironment(stage, options);
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
      const report = await makeMove(scene, () => engine.move(scene));
      // Refused or rolled back, it is still this engine's.
      return { ...report, engine: wanted.engine };
    } finally {
      await load.stop();
    }
  } finally {
    await stage.close(false);
  }
}
