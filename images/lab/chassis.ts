/**
 * `chassis.ts LAB MACHINE BMC-ADDRESS get|set|check NAME [VALUE] ...`: what a lab's BMC does to its machine; called by
 * ipmi_sim. Answers `power:0` or `power:1`. Off pulls the plug. On is for the lab, which owns the machines.
 */
import { end, isAlive } from '../processes.ts';
import { requireState } from './state.ts';

const [lab = '', name = '', , operation, ...words] = process.argv.slice(2);
const machine = requireState(lab).machines[name];
if (!machine) throw new Error(`the lab ${lab} has no machine ${name}`);
const { process: id } = machine;

if (operation === 'get') {
  for (const word of words) {
    // Nothing but its power is of interest: no boot device, no identify lamp.
    const value = word === 'power' && id && isAlive(id) ? 1 : 0;
    process.stdout.write(`${word}:${value}\n`);
  }
} else if (operation === 'set') {
  for (let at = 0; at + 1 < words.length; at += 2) await set(String(words[at]), words[at + 1]);
} else if (operation !== 'check') {
  throw new Error(`not an operation: ${operation}`);
}

async function set(what: string, value: string | undefined): Promise<void> {
  if (what === 'power' && value !== '0') throw new Error(`${name} is powered on by its lab only`);
  if (what !== 'power' && what !== 'reset') return;
  // A machine without a process is off already.
  if (!id) return;
  await end(id, 'SIGKILL');
  if (isAlive(id)) throw new Error(`${name} is still running`);
}
