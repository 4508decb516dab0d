/** How a program of the lab ends: with its exit code, or with what went wrong in one sentence and its remedy. */
import { CommanderError } from 'commander';
import { toPmsmError } from '../../agent/wire/errors.ts';
import { wasInterrupted } from '../cleanup.ts';

const EXIT_USAGE = 2;

export async function runProgram(work: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await work();
  } catch (thrown) {
    // The cleanups run and end this process; what fails meanwhile fails because of them.
    if (wasInterrupted()) await new Promise(() => undefined);
    if (thrown instanceof CommanderError) {
      process.exitCode = thrown.exitCode === 0 ? 0 : EXIT_USAGE;
      return;
    }
    const error = toPmsmError(thrown);
    process.stderr.write(`${error.message}\n${error.remedy}\n`);
    process.exitCode = error.exitCode;
  }
}
