import type { Machine, OneFence } from '../config.ts';
import { fenceByAgent } from './agent.ts';
import { fenceByCommand } from './command.ts';

export interface FenceResult {
  /** Only true makes it safe to let the source run. */
  confirmed_off: boolean;
  detail: string;
}

/** Makes certain that a machine is off, in the way that is configured for it. */
export async function fence({ name, fence: how }: Machine): Promise<FenceResult> {
  if (!how) return { confirmed_off: false, detail: `no fence is configured for ${name}` };
  const failed: string[] = [];
  for (const one of Array.isArray(how) ? how : [how]) {
    const { confirmed_off, detail } = await fenceBy(one);
    if (confirmed_off) {
      return { confirmed_off, detail: [`${name} was confirmed off.`, detail, ...failed].join(' ') };
    }
    failed.push(detail);
  }
  const detail = `${name} was not confirmed off: ${failed.join('; ')}`;
  return { confirmed_off: false, detail: detail.trim() };
}

function fenceBy(how: OneFence): Promise<FenceResult> {
  return 'agent' in how ? fenceByAgent(how) : fenceByCommand(how);
}
