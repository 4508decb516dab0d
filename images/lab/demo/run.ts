/** The demo from the first commit to the verdict: one client connection through all moves. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Progress } from '../../progress.ts';
import { CHURN_UNIT } from '../guest/churn.ts';
import { describeEnvironment } from './environment.ts';
import { Load } from './load.ts';
import { makeMove, rememberMachine, type Scene, throughOrchestrator } from './one-move.ts';
import type { DemoOptions } from './options.ts';
import type { Report } from './report/schema.ts';
import type { MachineName, Stage } from './stage.ts';
import { tellEvents } from './talk.ts';
import { failuresOf } from './verdict.ts';
import { fsckIsClean } from './verify.ts';

const POWER_OFF_LIMIT_MS = 120_000;
/** sshd must be able to answer before the machine goes down under it. */
const POWER_OFF_DELAY_S = 1;
/** By default systemd lets a timer wait for others, for up to a minute. */
const POWER_OFF_TIMER = `--on-active=${POWER_OFF_DELAY_S} --timer-property=AccuracySec=50ms`;

/**
 * `onReport` hears of every move as soon as it is judged. Resolves to the machine that runs at the
 * end, or null if that is in doubt.
 */
export async function runMoves(
  stage: Stage,
  options: DemoOptions,
  progress: Progress,
  onReport: (report: Report) => void,
): Promise<string | null> {
  const environment = await describeEnvironment(stage, options);
  const load = await Load.start(options.load, stage.runDir, stage.inNetwork, progress);
  try {
    if (options.load === 'churn') await stage.onHost(`systemctl start ${CHURN_UNIT}`);
    const origin = await rememberMachine(stage, options);
    const scene: Scene = { stage, load, origin, options, environment, keeps: 'machine' };
    return await moveBackAndForth(scene, progress, onReport);
  } finally {
    await load.stop();
  }
}

async function moveBackAndForth(
  scene: Scene,
  progress: Progress,
  onReport: (report: Report) => void,
): Promise<string | null> {
  const { stage, load, options } = scene;
  let [source, target] = stage.machines;
  for (let number = 1; number <= options.moves; number += 1) {
    const title = `Move ${number} of ${options.moves}: ${source} to ${target}`;
    let report = await progress.step(title, () =>
      makeMove(scene, () => throughOrchestrator(scene, source, target, tellEvents(progress))),
    );
    if (report.owner !== 'source') [source, target] = [target, source];
    const last = number === options.moves;
    if (last && report.outcome === 'moved') {
      report = await withFinalCheck(scene, report, source, progress);
    }
    onReport(report);
    if (report.owner === 'in-doubt') return null;
    if (last || report.outcome !== 'moved') break;
    await progress.step(`${target} boots as the next standby`, () => stage.recycle(target));
    await load.resume();
  }
  return source;
}

/** After the last move the machine shuts down, and its disk must be clean then, too. */
async function withFinalCheck(
  scene: Scene,
  report: Report,
  machine: MachineName,
  progress: Progress,
): Promise<Report> {
  const { stage, load } = scene;
  return await progress.step('The machine shuts down', async () => {
    await load.stop();
    const clean = await shutDown(stage, machine).then(
      () => fsckIsClean(stage.disk, stage.fsckLog),
      (error: Error) => {
        report.client.errors.push(`shutdown: ${error.message}`.slice(0, 1000));
        return false;
      },
    );
    const disk = report.verification.disk && clean;
    const checked = { ...report, verification: { ...report.verification, disk } };
    return { ...checked, ok: failuresOf(checked).length === 0 };
  });
}

async function shutDown(stage: Stage, machine: MachineName): Promise<void> {
  await stage.onHost(`systemd-run ${POWER_OFF_TIMER} systemctl poweroff`);
  await sleep(POWER_OFF_DELAY_S * 1000);
  await stage.waitForPowerOff(machine, POWER_OFF_LIMIT_MS);
}
