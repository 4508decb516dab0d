/**
 * Fences by one of ClusterLabs' fence agents (Debian's `fence-agents`), which are called as their API says: options
 * as `name=value` lines on stdin, so that a password is in no process list. `off` waits until the machine is off; that
 * is asked once more, since the answer decides which machine runs.
 */
import type { AgentFence } from '../config.ts';
import { describeExit } from './command.ts';
import type { FenceResult } from './fence.ts';
import { type Ended, runBounded } from './run.ts';

/** Exit codes of the action `status`. */
const STATUS_OFF = 2;
const SECRET = /pass|secret|token|key/;

export async function fenceByAgent(how: AgentFence): Promise<FenceResult> {
  const deadline_ms = performance.now() + how.timeout_ms;
  const call = async (action: string): Promise<Ended> => {
    const left_ms = Math.max(1, Math.ceil(deadline_ms - performance.now()));
    return await runBounded([how.agent], inputOf(how, action), left_ms);
  };
  const off = await call('off');
  if (off.exit !== 0) {
    const why = describeExit(off.exit, how.timeout_ms);
    return { confirmed_off: false, detail: redact(how, `${how.agent}: ${why} ${off.output}`) };
  }
  const status = await call('status');
  // The same number stands for wrong options: the word has to be there, too.
  const confirmed_off = status.exit === STATUS_OFF && /\boff\b/i.test(status.output);
  const said = confirmed_off ? off.output : `it says that it is still on. ${status.output}`;
  return { confirmed_off, detail: redact(how, `${how.agent}: ${said}`) };
}

function inputOf({ options }: AgentFence, action: string): string {
  const lines = Object.entries({ ...options, action }).map(([name, value]) => `${name}=${value}`);
  return `${lines.join('\n')}\n`;
}

/** An agent may repeat what it was given. */
function redact({ options }: AgentFence, text: string): string {
  const secrets = Object.entries(options).filter(([name, value]) => SECRET.test(name) && value);
  return secrets.reduce((rest, [, value]) => rest.replaceAll(value, '***'), text).trim();
}
