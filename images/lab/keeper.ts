/**
 * `keeper.ts NAME OPTIONS`: holds a lab that outlives the command that started it. All of the lab ends with this
 * process. A machine that was vacated by a migration boots again as the next standby.
 */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toPmsmError } from '../../agent/wire/errors.ts';
import { textProgress } from '../progress.ts';
import { hostStates } from './hosts.ts';
import { Lab } from './lab.ts';
import type { Machine } from './machine.ts';

const WATCH_EVERY_MS = 500;

const [name = '', options = '{}'] = process.argv.slice(2);
try {
  const lab = await Lab.start({ ...JSON.parse(options), name }, textProgress());
  for (;;) {
    await sleep(WATCH_EVERY_MS);
    for (const machine of Object.values(lab.machines)) await recycleIfVacated(lab, machine);
  }
} catch (error) {
  // Read by the command that waits for this lab.
  const { code, detail } = toPmsmError(error);
  process.stderr.write(`${resolve(import.meta.filename)}: ${(error as Error).stack}\n`);
  process.stdout.write(`${JSON.stringify({ code, detail })}\n`);
  process.exitCode = 1;
}

async function recycleIfVacated(lab: Lab, machine: Machine): Promise<void> {
  if (machine.isRunning()) return;
  // Off for another reason: somebody typed poweroff, or it crashed. Then a person decides.
  const states = await hostStates(lab.orchestratorSocket).catch(() => undefined);
  if (states?.[machine.name] !== 'vacated') return;
  await lab.recycle(machine);
}
