import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';

const OUTPUT_CHARACTERS_MAX = 512;
const OUTPUT_BUFFER_BYTES = 64 * 1024;

export interface Ended {
  /** `late` past the limit, `none` if it could not be run or was killed by somebody else. */
  exit: number | 'late' | 'none';
  /** The end of all that it said. */
  output: string;
}

/**
 * A fence that hangs must not hold the decision up, nor strike when that was made: past the limit it is killed with
 * all that it has started, and not waited for.
 */
export async function runBounded(
  command: readonly string[],
  input: string,
  timeout_ms: number,
): Promise<Ended> {
  const [file, ...args] = command as [string, ...string[]];
  // A process group of its own; and programs of administrators, which not every user has in his path.
  const env = { PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };
  const limits = { reject: false, maxBuffer: OUTPUT_BUFFER_BYTES };
  const options = { ...limits, detached: true, all: true, env };
  const child = execa(file, args, { ...options, input });
  const limit = new AbortController();
  const ended = child.finally(() => limit.abort());
  const late = sleep(timeout_ms, 'late' as const, { signal: limit.signal }).catch(() => undefined);
  if ((await Promise.race([ended, late])) === 'late') {
    killGroup(child.pid);
    return { exit: 'late', output: '' };
  }
  const result = await ended;
  const output = String(result.all ?? '')
    .trim()
    .slice(-OUTPUT_CHARACTERS_MAX);
  return { exit: result.exitCode ?? 'none', output };
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended in this very moment.
  }
}
