import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { PmsmError } from '../agent/wire/errors.ts';

const CONFIG_BYTES_MAX = 1024 * 1024;

const PortSchema = z.int().min(0).max(65_535);

const FENCE_TIMEOUT_MS = z.int().min(100).max(600_000).default(30_000);

export const CommandFenceSchema = z.strictObject({
  /** Exit 0 means: that machine is off, for certain. */
  command: z.array(z.string().min(1)).min(1).max(64),
  timeout_ms: FENCE_TIMEOUT_MS,
});

/** One of ClusterLabs' fence agents, which know the BMCs and power strips of every vendor. */
export const AgentFenceSchema = z.strictObject({
  agent: z.string().regex(/^fence_[a-z0-9_]{1,64}$/),
  /** What the agent reads, `ip`, `username`, `password_script`; how it is called is pmsm's business. */
  options: z
    .record(
      z.string().regex(/^(?!action$)[a-z][a-z0-9_]{0,63}$/),
      z.string().regex(/^[^\r\n]{0,1024}$/),
    )
    .default({}),
  timeout_ms: FENCE_TIMEOUT_MS,
});

const OneFenceSchema = z.union([CommandFenceSchema, AgentFenceSchema]);

/** One, or several that are tried in this order until one of them confirms: a BMC, then the power strip, say. */
export const FenceSchema = z.union([OneFenceSchema, z.array(OneFenceSchema).min(1).max(8)]);

export const MachineSchema = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/),
  /** The migration address, which stays with the physical machine. */
  address: z.ipv4(),
  prefix: z.int().min(1).max(32).default(24),
  agent_port: PortSchema.default(7073),
  fence: FenceSchema.optional(),
});

export const ConfigSchema = z.strictObject({
  machines: z.array(MachineSchema).max(1000),
  listen: z
    .strictObject({
      host: z.string().default('127.0.0.1'),
      port: PortSchema.default(7070),
      socket_path: z.string().max(107).optional(),
    })
    .prefault({}),
  control: z
    .strictObject({
      host: z.string().default('0.0.0.0'),
      port: PortSchema.default(7071),
      /** What sources are told to connect to; by default the address that the standby reached. */
      advertise: z.ipv4().optional(),
    })
    .prefault({}),
  /** Where a standby listens for the image. */
  stream_port: PortSchema.default(7072),
  /** Whether the vacated machine powers off or boots again, for instance as the next standby. */
  release_action: z.enum(['power_off', 'reboot']).default('power_off'),
  state_dir: z.string().min(1),
});

export type Config = z.infer<typeof ConfigSchema>;
export type Machine = z.infer<typeof MachineSchema>;
export type CommandFence = z.infer<typeof CommandFenceSchema>;
export type AgentFence = z.infer<typeof AgentFenceSchema>;
export type OneFence = z.infer<typeof OneFenceSchema>;

export function parseConfig(value: unknown, from: string): Config {
  const parsed = ConfigSchema.safeParse(value);
  if (!parsed.success) {
    throw new PmsmError('bad-request', `${from}: ${z.prettifyError(parsed.error)}`);
  }
  requireUnique(parsed.data.machines, 'name', from);
  requireUnique(parsed.data.machines, 'address', from);
  return parsed.data;
}

function requireUnique(machines: Machine[], key: 'name' | 'address', from: string): void {
  const seen = new Set<string>();
  for (const machine of machines) {
    if (seen.has(machine[key])) {
      throw new PmsmError('bad-request', `${from}: two machines have the ${key} ${machine[key]}`);
    }
    seen.add(machine[key]);
  }
}

export function readConfig(path: string): Config {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new PmsmError('bad-request', `cannot read ${path}: ${(error as Error).message}`);
  }
  if (text.length > CONFIG_BYTES_MAX) throw new PmsmError('bad-request', `${path} is too large`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new PmsmError('bad-request', `${path} is not JSON: ${(error as Error).message}`);
  }
  return parseConfig(value, path);
}

export function machineNamed(config: Config, name: string): Machine {
  const machine = config.machines.find((candidate) => candidate.name === name);
  if (!machine) throw new PmsmError('unknown-host', name);
  return machine;
}
