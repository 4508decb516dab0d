/** Makes a fault strike. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PmsmError } from '../../../agent/wire/errors.ts';
import type { MigrationEvent } from '../../../orchestrator/store/record.ts';
import { isBegin } from '../demo/migrate.ts';
import { type Lab, type MachineName, STANDBY_UP } from '../lab.ts';
import { type FaultCase, faultOf, type Side } from './cases.ts';

export const SIDES: Readonly<Record<Side, MachineName>> = { source: 'node1', target: 'node2' };

/** The longest wait for a fault to strike: an attempt that goes well is over by then. */
const STRIKE_LIMIT_MS = 300_000;
const BOOT_LIMIT_MS = 300_000;
const POLL_MS = 20;

/** The agent passes its environment to the helper, which knows the faults (agent/native/common/fault.h). */
export async function setFault(lab: Lab, fault: string): Promise<void> {
  const set = fault === '' ? 'unset-environment PMSM_FAULT' : `set-environment PMSM_FAULT=${fault}`;
  await lab.ssh(`systemctl ${set}; systemctl restart pmsm-agent`);
}

/** Before the attempt. A standby's program reads it when it starts. */
export async function arm(lab: Lab, { strike, where }: FaultCase): Promise<void> {
  if (strike.by === 'lab') return;
  const fault = `${faultOf(where)}:${strike.action}`;
  if (strike.by === 'source-helper') {
    await setFault(lab, fault);
    return;
  }
  const standby = lab.machines[SIDES.target];
  await standby.powerOff();
  await standby.powerOn('standby', { kernelWords: [`PMSM_FAULT=${fault}`] });
  await standby.waitForConsole(STANDBY_UP, BOOT_LIMIT_MS);
}

/** What the lab does itself, as the attempt goes on. */
export function strikeAt(lab: Lab, { strike, where }: FaultCase, event: MigrationEvent): void {
  if (strike.by !== 'lab' || !isBegin(event, where)) return;
  void lab.machines[SIDES[strike.victim]].powerOff();
}

/** The machine that is reset boots as any other, and its boot guard decides. */
export async function bootAgain(lab: Lab, side: Side, over: AbortSignal): Promise<void> {
  const machine = lab.machines[SIDES[side]];
  for (const deadline = performance.now() + STRIKE_LIMIT_MS; machine.isRunning(); ) {
    if (over.aborted) return;
    if (performance.now() > deadline) {
      throw new PmsmError('lab-failed', `${machine.name} was not reset: the fault did not strike`);
    }
    await sleep(POLL_MS);
  }
  // What ends with the attempt is not a reset but its own end, or the lab's.
  if (!over.aborted) await machine.powerOn('host');
}

/** The helpers say so on their machine's console, at whatever level it is. */
export function hasStruck(lab: Lab, { strike, where }: FaultCase): boolean {
  if (strike.by === 'lab') return true;
  const words = `pmsm: fault ${faultOf(where)}:${strike.action} strikes`;
  return Object.values(lab.machines).some((machine) => machine.consoleText().includes(words));
}
