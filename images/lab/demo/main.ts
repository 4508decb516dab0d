/** `npm run demo`: moves a database host between two emulated machines and proves what came of it. */
import { wasInterrupted } from '../../cleanup.ts';
import { textProgress } from '../../progress.ts';
import { runProgram } from '../program.ts';
import { type DemoOptions, parseOptions } from './options.ts';
import { LOGS, PAGE, requireWritable, writeReports } from './output.ts';
import type { Report } from './report/schema.ts';
import { runMoves } from './run.ts';
import { openStage, type Stage } from './stage.ts';
import { exitCodeOf, tellReport, tellVerdict } from './talk.ts';
import { makeFile } from './verdict.ts';

async function demo(options: DemoOptions): Promise<number> {
  const progress = textProgress();
  const tell = (text: string) => {
    // With the report itself on standard output, nothing else may be there.
    (options.json === '-' ? process.stderr : process.stdout).write(`${text}\n`);
  };
  requireWritable(options.json);
  const moves: Report[] = [];
  let stage: Stage | undefined;
  let ok = false;
  try {
    stage = await openStage(options, progress);
    const runs = await runMoves(stage, options, progress, (report) => {
      moves.push(report);
      tell(tellReport(report, `Move ${moves.length}`, process.stdout.columns));
    });
    const file = makeFile(moves, options.moves);
    ok = file.ok;
    writeReports(file, options.json);
    tell(tellVerdict(file, options.moves, { runs, logs: LOGS, page: PAGE }));
    return exitCodeOf(file);
  } catch (thrown) {
    // The cleanups run and end this process; what fails meanwhile fails because of them.
    if (wasInterrupted()) await new Promise(() => undefined);
    writeReports({ ...makeFile(moves, options.moves), ok: false }, options.json);
    if (stage !== undefined) process.stderr.write(`Consoles: ${LOGS}\n`);
    throw thrown;
  } finally {
    await stage?.close(options.keep || !ok ? LOGS : null);
  }
}

await runProgram(() => demo(parseOptions(process.argv.slice(2))));
