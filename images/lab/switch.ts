/**
 * The switch between the machines: two bridges with taps in a network namespace that has no name, so nothing of it can
 * be seen outside and all of it is gone with its last process. Without root it lies in a user namespace as well.
 */
import { spawn } from 'node:child_process';
import { PmsmError } from '../../agent/wire/errors.ts';
import { end, identify, type ProcessId, tether } from '../processes.ts';
import { requireTun } from '../setup/packages.ts';

export const CLIENT_ADDRESS = '10.0.0.254';
export const CLIENT_MIGRATION_ADDRESS = '10.0.1.254';
export const SERVICE_ADDRESS = '10.0.0.1';
const READY_LIMIT_MS = 15_000;

export type Network = 'service' | 'migration';

/** Where the BMC of a machine answers: in a cabinet that is a port of its own. */
export const bmcAddress = (machine_number: number): string => `10.0.1.${100 + machine_number}`;

/** The tap of a machine's NIC; interface names have at most 15 characters. */
export function tapName(machine: string, network: Network): string {
  return `${machine.slice(0, 12)}-${network === 'service' ? 's' : 'm'}`;
}

export class Switch {
  readonly holder: ProcessId;

  private constructor(holder: ProcessId) {
    this.holder = holder;
  }

  /** With one NIC a machine, both networks share one bridge, as they would share a cable. */
  static async start(machines: string[], singleNic: boolean): Promise<Switch> {
    requireTun();
    const script = `${setUpCommands(machines, singleNic).join('\n')}\necho ready\nexec sleep infinity`;
    const unshare = isRoot()
      ? ['unshare', '--net']
      : ['unshare', '--user', '--map-root-user', '--net'];
    const [program, ...args] = [...unshare, '--', ...tether(['sh', '-euc', script])];
    const child = spawn(program as string, args, {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-2000);
    });
    const outcome = await new Promise<'ready' | 'ended' | 'late'>((resolve) => {
      child.stdout.once('data', () => resolve('ready'));
      child.once('error', () => resolve('ended'));
      child.once('close', () => resolve('ended'));
      setTimeout(() => resolve('late'), READY_LIMIT_MS).unref();
    });
    const holder = child.pid === undefined ? undefined : identify(child.pid);
    if (outcome !== 'ready' || !holder) {
      if (holder) await end(holder, 'SIGKILL');
      throw new PmsmError(
        'lab-failed',
        `The switch could not be made: ${errors.trim() || outcome}`,
      );
    }
    child.unref();
    child.stdout.destroy();
    child.stderr.destroy();
    return new Switch(holder);
  }

  static of(holder: ProcessId): Switch {
    return new Switch(holder);
  }

  /** A command that runs inside the lab's network. */
  inside(argv: string[]): [string, ...string[]] {
    const user = isRoot() ? [] : ['--user', '--preserve-credentials'];
    return ['nsenter', '--target', String(this.holder.pid), ...user, '--net', '--', ...argv];
  }

  async stop(): Promise<void> {
    await end(this.holder, 'SIGKILL');
  }
}

const isRoot = (): boolean => process.getuid?.() === 0;

export function setUpCommands(machines: string[], singleNic: boolean): string[] {
  const migrationBridge = singleNic ? 'br0' : 'br1';
  const commands = ['ip link set lo up', ...bridgeCommands('br0', '52:54:00:00:00:fe')];
  if (!singleNic) commands.push(...bridgeCommands('br1', '52:54:00:00:01:fe'));
  commands.push(
    `ip address add ${CLIENT_ADDRESS}/24 dev br0`,
    'ip -6 address add fd00::fe/64 dev br0 nodad',
    `ip address add ${CLIENT_MIGRATION_ADDRESS}/24 dev ${migrationBridge}`,
  );
  for (const [index, machine] of machines.entries()) {
    commands.push(`ip address add ${bmcAddress(index + 1)}/32 dev lo`);
    commands.push(...tapCommands(tapName(machine, 'service'), 'br0'));
    if (!singleNic) commands.push(...tapCommands(tapName(machine, 'migration'), 'br1'));
  }
  return commands;
}

/** A port forwards at once, like that of a switch with edge ports, and every multicast frame goes everywhere. */
function bridgeCommands(name: string, mac: string): string[] {
  return [
    `ip link add ${name} address ${mac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
    `ip link set ${name} up`,
  ];
}

function tapCommands(name: string, bridge: string): string[] {
  return [
    `ip tuntap add dev ${name} mode tap`,
    `ip link set ${name} master ${bridge}`,
    // The host end must not speak on its own: a machine's port carries the machine's frames only.
    `echo 1 >/proc/sys/net/ipv6/conf/${name}/disable_ipv6`,
    `ip link set ${name} up`,
  ];
}
