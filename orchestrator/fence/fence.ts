import { execa } from 'execa';
import type { Machine } from '../config.ts';

const OUTPUT_CHARACTERS_MAX = 512;

export interface FenceResult {
  /** Only true makes it safe to let the source run. */
  confirmed_off: boolean;
  detail: string;
}

/**
 * Makes certain that a machine is off by running its configured command to the end. Nothing but
 * exit code 0 in time counts; no shell is involved.
 */
export async function fence(machine: Machine): Promise<FenceResult> {
  if (!machine.fence) {
    return { confirmed_off: false, detail: `no fence is configured for ${machine.name}` };
  }
  const { command, timeout_ms } = machine.fence;
  const [file, ...args] = command as [string, ...string[]];
  const result = await execa(file, args, {
    reject: false,
    timeout: timeout_ms,
    killSignal: 'SIGKILL',
    stdin: 'ignore',
    all: true,
    maxBuffer: 64 * 1024,
  });
  const output = (result.all ?? '').trim().slice(-OUTPUT_CHARACTERS_MAX);
  if (result.exitCode === 0 && !result.failed) {
    return { confirmed_off: true, detail: `${machine.name} was confirmed off. ${output}`.trim() };
  }
  const why = result.timedOut ? `no answer in ${timeout_ms} ms` : `exit ${result.exitCode ?? '-'}`;
  return { confirmed_off: false, detail: `the fence of ${machine.name} failed: ${why}. ${output}` };
}
