import type { CommandFence } from '../config.ts';
import type { FenceResult } from './fence.ts';
import { runBounded } from './run.ts';

/** Runs a command to its end. Nothing but exit code 0 in time counts; no shell is involved. */
export async function fenceByCommand({ command, timeout_ms }: CommandFence): Promise<FenceResult> {
  const { exit, output } = await runBounded(command, '', timeout_ms);
  if (exit === 0) return { confirmed_off: true, detail: output };
  return { confirmed_off: false, detail: `${describeExit(exit, timeout_ms)} ${output}`.trim() };
}

export function describeExit(exit: number | 'late' | 'none', timeout_ms: number): string {
  if (exit === 'late') return `no answer in ${timeout_ms} ms.`;
  return `exit ${exit === 'none' ? '-' : exit}.`;
}
