/**
 * The BMC of each machine: OpenIPMI's simulator, on an address of its own in the migration network. Its chassis control
 * pulls the plug of the emulated machine, so that the real fence_ipmilan can switch it off.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { AgentFence } from '../../orchestrator/config.ts';
import { inTree } from '../paths.ts';
import { end, identify, type ProcessId, tether } from '../processes.ts';
import { bmcAddress, type Switch } from './switch.ts';

/** For a network that exists in this lab only. */
const USER = 'pmsm';
const PASSWORD = 'pmsm-lab';
const PORT = 623;
const FENCE_TIMEOUT_MS = 30_000;
/** A management controller at the usual address, without sensors. */
const CONTROLLER = `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
mc_enable 0x20
`;

/** How the lab's orchestrator switches a machine off. */
export function bmcFence(number: number): AgentFence {
  return {
    agent: 'fence_ipmilan',
    // Without a cipher ipmitool asks for a list that the simulator does not have, and waits a quarter of a minute.
    options: {
      ip: bmcAddress(number),
      username: USER,
      password: PASSWORD,
      lanplus: '1',
      cipher: '3',
    },
    timeout_ms: FENCE_TIMEOUT_MS,
  };
}

export class Bmc {
  readonly #child: ChildProcess;
  readonly #id: ProcessId | undefined;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#id = child.pid === undefined ? undefined : identify(child.pid);
  }

  static start(
    lab: string,
    machine: { name: string; number: number },
    runDir: string,
    network: Switch,
  ): Bmc {
    const { name, number } = machine;
    const file = (what: string): string => resolve(runDir, `${name}.bmc.${what}`);
    const chassis = [process.execPath, inTree('images/lab/chassis.ts'), lab, name, '0x20'];
    writeFileSync(file('conf'), configuration(name, number, chassis.join(' ')), { mode: 0o600 });
    writeFileSync(file('commands'), CONTROLLER);
    mkdirSync(file('state'), { recursive: true });
    const argv = ['ipmi_sim', '-n', '-c', file('conf'), '-f', file('commands')];
    const [program, ...args] = network.inside(tether([...argv, '-s', file('state')]));
    const log = openSync(file('log'), 'w');
    const child = spawn(program, args, { detached: true, stdio: ['ignore', log, log] });
    closeSync(log);
    child.once('error', () => undefined);
    child.unref();
    return new Bmc(child);
  }

  async stop(): Promise<void> {
    if (this.#id && this.#child.exitCode === null) await end(this.#id, 'SIGKILL');
  }
}

function configuration(name: string, number: number, chassis: string): string {
  const allowed = ['callback', 'user', 'operator', 'admin'].map(
    (level) => `    allowed_auths_${level} none md2 md5 straight`,
  );
  return `name "${name}"
set_working_mc 0x20
  startlan 1
    addr ${bmcAddress(number)} ${PORT}
    priv_limit admin
${allowed.join('\n')}
    guid ${String(number).padStart(32, 'a')}
  endlan
  chassis_control "${chassis}"
  startnow false
  user 2 true "${USER}" "${PASSWORD}" admin 10 none md2 md5 straight
`;
}
