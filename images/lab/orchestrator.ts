/** The lab's orchestrator: the real one, run inside the lab's network, with a configuration made for the lab. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PmsmError } from '../../agent/wire/errors.ts';
import { inTree } from '../paths.ts';
import { end, identify, type ProcessId, tailOf, tether } from '../processes.ts';
import { bmcFence } from './bmc.ts';
import type { Machine } from './machine.ts';
import { CLIENT_MIGRATION_ADDRESS, type Switch } from './switch.ts';

const START_LIMIT_MS = 30_000;
const POLL_MS = 20;
export const SOCKET = 'orchestrator.sock';

export class LabOrchestrator {
  readonly socket: string;
  readonly log: string;
  readonly #config: string;
  readonly #network: Switch;
  #child: ChildProcess | undefined;
  #id: ProcessId | undefined;

  constructor(runDir: string, network: Switch, machines: Machine[]) {
    this.socket = resolve(runDir, SOCKET);
    this.log = resolve(runDir, 'orchestrator.log');
    this.#config = resolve(runDir, 'orchestrator.json');
    this.#network = network;
    const config = {
      machines: machines.map((machine) => ({
        name: machine.name,
        address: machine.address,
        fence: bmcFence(machine.number),
      })),
      listen: { host: '10.0.0.254', socket_path: this.socket },
      control: { advertise: CLIENT_MIGRATION_ADDRESS },
      state_dir: resolve(runDir, 'records'),
    };
    writeFileSync(this.#config, `${JSON.stringify(config, null, 2)}\n`);
  }

  get process(): ProcessId | undefined {
    return this.#id;
  }

  /** Starts it and waits until it serves. */
  async start(): Promise<void> {
    rmSync(this.socket, { force: true });
    const log = openSync(this.log, 'a');
    const main = inTree('orchestrator/main.ts');
    const argv = tether([process.execPath, main, '--config', this.#config]);
    const [program, ...args] = this.#network.inside(argv);
    const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', log] });
    closeSync(log);
    this.#child = child;
    let ready = false;
    child.once('error', () => undefined);
    child.stdout?.once('data', () => {
      ready = true;
      child.stdout?.destroy();
    });
    child.unref();
    this.#id = child.pid === undefined ? undefined : identify(child.pid);
    const deadline_ms = performance.now() + START_LIMIT_MS;
    while (!ready) {
      if (!this.isRunning() || performance.now() > deadline_ms) {
        const said = tailOf(this.log).trim();
        await this.stop();
        throw new PmsmError(
          'lab-failed',
          `The orchestrator did not start; see ${this.log}\n${said}`,
        );
      }
      await sleep(POLL_MS);
    }
  }

  isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && !this.#child.signalCode;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.isRunning() && this.#id) await end(this.#id, signal);
  }
}
