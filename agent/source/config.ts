/**
 * The agent's settings. The kernel command line says who the machine is (see docs/architecture.md);
 * a file can say it instead; flags win over both.
 */
import { isIPv4 } from 'node:net';
import { resolve } from 'node:path';
import { z } from 'zod';
import { PmsmError } from '../wire/errors.ts';
import { MachineSchema } from './api/schemas.ts';

export const SettingsSchema = z.strictObject({
  machine: z.string().min(1).max(64).optional(),
  /** The migration address with its prefix, `10.0.1.1/24`. */
  address: z.string().max(32).optional(),
  interface: z.string().min(1).max(15).optional(),
  single_nic: z.boolean().optional(),
  listen: z.string().max(64).optional(),
  helper: z.string().min(1).max(4096).optional(),
  /** Where this agent keeps who the machine is now; has to travel in the image, so tmpfs. */
  machine_file: z.string().min(1).max(4096).optional(),
  /** Where the disk says who owns it, `PARTLABEL=pmsm-owner` say (docs/operations.md); absent: it does not. */
  record: z.string().min(1).max(63).optional(),
});

export const ConfigSchema = z.object({
  machine: MachineSchema,
  listen: z.object({ host: z.string(), port: z.int().min(0).max(65_535) }),
  helper: z.string(),
  machine_file: z.string(),
  record: z.string().optional(),
});

export type Settings = z.infer<typeof SettingsSchema>;
export type AgentConfig = z.infer<typeof ConfigSchema>;

const DEFAULTS = {
  listen: '0.0.0.0:7073',
  /** Beside the agent, wherever that was installed. */
  helper: resolve(import.meta.dirname, 'pmsm-freeze'),
  machine_file: '/run/pmsm/machine.json',
} as const;

/** `pmsm.machine=node1 pmsm.address=10.0.1.1/24 pmsm.interface=eth1 [pmsm.single-nic] [pmsm.record=WHERE]` */
export function settingsFromCommandLine(cmdline: string): Settings {
  const words = cmdline.trim().split(/\s+/);
  const value = (key: string): string | undefined =>
    words.findLast((word) => word.startsWith(`${key}=`))?.slice(key.length + 1);
  return dropUndefined({
    machine: value('pmsm.machine'),
    address: value('pmsm.address'),
    interface: value('pmsm.interface'),
    single_nic: words.includes('pmsm.single-nic') ? true : undefined,
    record: value('pmsm.record'),
  });
}

export function settingsFromFile(text: string, path: string): Settings {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new PmsmError('bad-request', `${path} is not JSON: ${(error as Error).message}`);
  }
  const parsed = SettingsSchema.safeParse(value);
  if (!parsed.success) {
    throw new PmsmError('bad-request', `${path}: ${z.prettifyError(parsed.error)}`);
  }
  return dropUndefined(parsed.data);
}

/** Later settings win. */
export function makeConfig(...layers: Settings[]): AgentConfig {
  const merged: Settings = Object.assign({}, ...layers.map(dropUndefined));
  const { machine, address, interface: name } = merged;
  if (!machine || !address || !name) {
    const need = 'pmsm.machine, pmsm.address and pmsm.interface';
    throw new PmsmError('bad-request', `who this machine is must be said: ${need}`);
  }
  const [ip, prefix] = splitAddress(address);
  return ConfigSchema.parse({
    machine: {
      name: machine,
      address: ip,
      prefix,
      interface: name,
      single_nic: merged.single_nic ?? false,
    },
    listen: splitListen(merged.listen ?? DEFAULTS.listen),
    helper: merged.helper ?? DEFAULTS.helper,
    machine_file: merged.machine_file ?? DEFAULTS.machine_file,
    record: merged.record,
  });
}

function splitAddress(text: string): [string, number] {
  const [ip = '', bits] = text.split('/');
  const prefix = Number(bits);
  if (!isIPv4(ip) || !Number.isInteger(prefix) || prefix < 1 || prefix > 32) {
    throw new PmsmError('bad-request', `${text} is not an IPv4 address with a prefix length`);
  }
  return [ip, prefix];
}

function splitListen(text: string): AgentConfig['listen'] {
  const colon = text.lastIndexOf(':');
  const port = Number(text.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new PmsmError('bad-request', `${text} is not HOST:PORT`);
  }
  return { host: text.slice(0, colon), port };
}

function dropUndefined<T extends object>(value: T): T {
  const entries = Object.entries(value).filter(([, one]) => one !== undefined);
  return Object.fromEntries(entries) as T;
}
