/** What the lab's orchestrator sees of the machines. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { PmsmError } from '../../agent/wire/errors.ts';
import { requestJson } from '../../orchestrator/http/request.ts';

const hostsSchema = z.object({
  hosts: z.array(z.object({ name: z.string(), state: z.string() })).max(1000),
});

const REQUEST_LIMIT_MS = 10_000;
const POLL_MS = 100;

/** The state of each machine, by name. */
export async function hostStates(socketPath: string): Promise<Record<string, string>> {
  const answer = await requestJson(
    { socketPath },
    { method: 'GET', path: '/v1/hosts', timeout_ms: REQUEST_LIMIT_MS },
  );
  const { hosts } = hostsSchema.parse(answer.body);
  return Object.fromEntries(hosts.map(({ name, state }) => [name, state]));
}

/** Waits until the orchestrator sees the machines in these states. */
export async function waitForStates(
  socketPath: string,
  wanted: Record<string, string>,
  limit_ms: number,
): Promise<void> {
  const deadline_ms = performance.now() + limit_ms;
  let seen: Record<string, string> = {};
  while (Object.keys(wanted).some((name) => seen[name] !== wanted[name])) {
    if (performance.now() > deadline_ms) {
      const text = (states: Record<string, string>): string => JSON.stringify(states);
      const detail = `The orchestrator sees ${text(seen)} instead of ${text(wanted)}.`;
      throw new PmsmError('lab-failed', detail);
    }
    seen = await hostStates(socketPath);
    await sleep(POLL_MS);
  }
}
