import { execa } from 'execa';

const OUTPUT_CHARACTERS_MAX = 512;
const OUTPUT_BUFFER_BYTES = 64 * 1024;

export interface Ended {
  /** `late` past the limit, `none` if it could not be run or was killed by somebody else. */
  exit: number | 'late' | 'none';
  /** The end of all that it said. */
  output: string;
}

/** A fence that hangs must not hold the decision up: past the limit it is killed. */
export async function runBounded(
  command: readonly string[],
  input: string,
  timeout_ms: number,
): Promise<Ended> {
  const [file, ...args] = command as [string, ...string[]];
  const result = await execa(file, args, {
    reject: false,
    timeout: timeout_ms,
    killSignal: 'SIGKILL',
    input,
    all: true,
    maxBuffer: OUTPUT_BUFFER_BYTES,
  });
  const output = (result.all ?? '').trim().slice(-OUTPUT_CHARACTERS_MAX);
  if (result.timedOut) return { exit: 'late', output };
  // A peer that does not read its input is no failure of its own.
  const exit = result.exitCode ?? 'none';
  return { exit, output };
}
