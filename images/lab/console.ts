/** A person at the serial console of a machine. */
import { connect } from 'node:net';
import { PmsmError } from '../../agent/wire/errors.ts';
import { tailOf } from '../processes.ts';

/** Ctrl-], as telnet has it. */
const LEAVE = 0x1d;
const SHOWN_BYTES = 2000;

export async function attachConsole(machine: { tty: string; console: string }): Promise<void> {
  const { stdin, stdout } = process;
  const socket = connect(machine.tty);
  await new Promise<void>((done, reject) => {
    socket.once('connect', () => done());
    socket.once('error', () => {
      reject(
        new PmsmError('lab-failed', `The machine is off. What it said is in ${machine.console}`),
      );
    });
  });
  stdout.write(`${tailOf(machine.console, SHOWN_BYTES)}\n[Ctrl-] leaves the console]\n`);
  if (stdin.isTTY) stdin.setRawMode(true);
  stdin.on('data', (typed: Buffer) => {
    if (typed.includes(LEAVE)) socket.end();
    else socket.write(typed);
  });
  // Input from a pipe may end long before the machine has answered: then it is only watched.
  socket.on('data', (text) => stdout.write(text));
  await new Promise<void>((done) => socket.once('close', () => done()));
  if (stdin.isTTY) stdin.setRawMode(false);
  stdin.destroy();
  stdout.write('\n');
}
