/** `fence.ts LAB MACHINE`: pulls the plug of a machine of a lab. Exit 0 means that it is off, for certain. */
import { end, isAlive } from '../processes.ts';
import { requireState } from './state.ts';

const [lab = '', name = ''] = process.argv.slice(2);
const state = requireState(lab);
const machine = state.machines[name];
if (!machine) throw new Error(`the lab ${lab} has no machine ${name}`);
// A machine without a process is off already.
if (machine.process) {
  await end(machine.process, 'SIGKILL');
  if (isAlive(machine.process)) throw new Error(`${name} is still running`);
}
