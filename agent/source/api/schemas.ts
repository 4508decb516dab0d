/** The agent's REST interface. The orchestrator's client reads answers through the same schemas. */
import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../../wire/errors.ts';
import { FactsSchema } from '../facts.ts';

const CODES = Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]];
const text = z.string().max(2048);

export const FindingSchema = z.object({
  code: z.enum(CODES),
  severity: z.enum(['ok', 'warn', 'refuse']),
  /** What is there. */
  found: text,
  /** Why it matters for a move. */
  why: text,
  remedy: text,
});

export const MountSchema = z.object({
  source: text,
  target: text,
  type: text,
  writable: z.boolean(),
  freezable: z.boolean(),
});

export const MachineSchema = z.object({
  name: z.string().min(1).max(64),
  address: z.ipv4(),
  prefix: z.int().min(1).max(32),
  interface: z.string().min(1).max(15),
  single_nic: z.boolean(),
});

export const InventorySchema = z.object({
  machine: MachineSchema,
  facts: FactsSchema,
  mounts: z.array(MountSchema).max(4096),
  uptime_s: z.number().nonnegative(),
});

export const PreflightSchema = z.object({
  findings: z.array(FindingSchema).max(256),
  /** See the facts: this is the one call that opens /dev/snapshot to ask. */
  image_format: z.int().nonnegative(),
});

export const AttemptIdSchema = z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 hex digits');
const PortSchema = z.int().min(1).max(65_535);

export const StartAttemptSchema = z.strictObject({
  attempt_id: AttemptIdSchema,
  generation: z.int().positive(),
  target: z.strictObject({
    /** Who this machine is once it has moved. */
    name: z.string().min(1).max(64),
    address: z.ipv4(),
    prefix: z.int().min(1).max(32),
    mac: z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i, 'must be a MAC address'),
    port: PortSchema,
  }),
  orchestrator: z.strictObject({ address: z.ipv4(), port: PortSchema }),
  options: z
    .strictObject({
      engine: z.enum(['full', 'delta']).default('full'),
      codec: z.enum(['auto', 'none', 'lz4', 'zstd']).default('auto'),
      stall_ms: z.int().min(100).max(60_000).default(2000),
      keep_cache: z.boolean().default(false),
      threads: z.int().min(1).max(256).optional(),
      check: z.boolean().default(false),
    })
    .prefault({}),
});

export const AttemptSchema = z.object({
  attempt_id: AttemptIdSchema,
  generation: z.int(),
  /** `held`: it has given up and was left without an order; a person decides. */
  state: z.enum(['running', 'moved', 'rolled-back', 'failed', 'held']),
  /** The helper's last word, once it has ended. */
  code: z.enum(CODES).nullable(),
  detail: text,
  /** The helper's lines, oldest first. */
  lines: z.array(z.record(z.string(), z.unknown())).max(1000),
});

export type Finding = z.infer<typeof FindingSchema>;
export type Mount = z.infer<typeof MountSchema>;
export type MachineIdentity = z.infer<typeof MachineSchema>;
export type Preflight = z.infer<typeof PreflightSchema>;
export type Inventory = z.infer<typeof InventorySchema>;
export type StartAttempt = z.infer<typeof StartAttemptSchema>;
export type AttemptView = z.infer<typeof AttemptSchema>;
