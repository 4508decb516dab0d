import type { Machine } from '../config.ts';
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
  const said = 'agent' in how ? await fenceByAgent(how) : await fenceByCommand(how);
  const outcome = said.confirmed_off ? 'was confirmed off.' : 'was not confirmed off:';
  return { ...said, detail: `${name} ${outcome} ${said.detail}`.trim() };
}
