/**
 * What the orchestrator remembers. Every line of the journal is read back through these schemas,
 * since a file is outside input too. All limits on what a migration can hold stand here.
 */
import { z } from 'zod';

export const EVENTS_PER_MIGRATION_MAX = 1000;
export const WARNINGS_MAX = 32;
export const DETAIL_CHARACTERS_MAX = 2048;

/** How a machine moves. */
export const ENGINES = ['full', 'delta'] as const;
/** What may be asked for; `auto` is delta where both kernels can, else full. */
export const ENGINE_CHOICES = ['auto', ...ENGINES] as const;
export const CODEC_CHOICES = ['auto', 'none', 'lz4', 'zstd'] as const;

/** States of a migration; `workflow/state.ts` has the table of the legal transitions. */
export const STATES = [
  'planned',
  'preparing',
  'frozen',
  'committed',
  'going',
  'releasing',
  'aborting',
  'fencing',
  'reverting',
  'moved',
  'rolled-back',
  'refused',
  'in-doubt',
] as const;

/**
 * The one decision that is durable before its order leaves this process: `commit` takes the right to
 * thaw from the source, `go` gives it to the target, `source` gives it back to the source for good.
 * `release` comes after `go`, when the target was heard to run: from there on the source is of no
 * use to anybody.
 */
export const DECISIONS = ['none', 'commit', 'go', 'release', 'source'] as const;

export const OptionsSchema = z.object({
  codec: z.enum(CODEC_CHOICES).default('auto'),
  stall_ms: z.int().min(100).max(60_000).default(2000),
  keep_cache: z.boolean().default(false),
  /**
   * Of the engine delta: the longest downtime that may be predicted when the window begins. No
   * prediction is below 400 ms (FIXED_MS in precopy.c), so less could never be reached.
   */
  downtime_limit_ms: z.int().min(500).max(600_000).default(2000),
  rounds_max: z.int().min(1).max(64).default(8),
  /** Before the window; 0 is no limit. */
  bytes_per_s_max: z.int().min(0).max(1e12).default(0),
  /** Services that change much may be slowed down until the window begins. */
  throttle: z.boolean().default(false),
  /** A test of the engine: every page frame is compared, with a kernel made for it. */
  check: z.boolean().default(false),
});

export const FaultSchema = z.object({
  code: z.string().min(1).max(64),
  detail: z.string().max(DETAIL_CHARACTERS_MAX),
});

const bytes = z.number().int().nonnegative().nullable();

export const ReportPhaseSchema = z.object({
  name: z.string().max(64),
  side: z.enum(['source', 'target', 'orchestrator']),
  /** From the beginning of the quarantine; negative before it. */
  start_ms: z.number(),
  duration_ms: z.number().nonnegative(),
});

/**
 * What became of a frame when the image was made: copied into it, found to be zero, or left out since it was the same
 * as before, which was seen with nothing else running (`same`) or a little earlier (`sealed`),
 * or since nobody had written to it (`tracked`). The order is that of
 * SNAPSHOT_CHECK_HOW in kernel-patches/abi/check.rst.
 */
export const FRAME_WAYS = [
  'unknown',
  'copied',
  'zero',
  'same',
  'sealed',
  'restored',
  'tracked',
] as const;

/** What a comparison of all page frames has found; see workflow/memory-check.ts. */
export const MemoryCheckSchema = z.object({
  /** In the image on both sides. */
  compared: z.int().nonnegative(),
  differing: z.int().nonnegative(),
  /** In the image on one side only. */
  one_sided: z.int().nonnegative(),
  /** The first of those that differ or are one-sided. */
  frames: z.array(z.object({ pfn: z.int().nonnegative(), how: z.enum(FRAME_WAYS) })).max(4096),
  /** Of the kernel stack that was in use on either side. */
  stack: z.array(z.int().nonnegative()).max(16),
  /** Where the static variables of a CPU are. */
  percpu: z
    .array(
      z.object({
        cpu: z.int().nonnegative(),
        first_pfn: z.int().nonnegative(),
        frames: z.int().nonnegative(),
      }),
    )
    .max(8),
});

/** The shape that the demo and scripts read; the orchestrator cannot know client and verification. */
export const ReportSchema = z.object({
  id: z.string(),
  source: z.string(),
  target: z.string(),
  ok: z.boolean(),
  engine: z.string(),
  owner: z.enum(['source', 'target', 'in-doubt']),
  outcome: z.enum(['moved', 'rolled-back', 'refused', 'in-doubt']),
  error: FaultSchema.nullable(),
  warnings: z.array(FaultSchema).max(WARNINGS_MAX),
  downtime_ms: z.object({
    client: z.number().nullable(),
    gap_before: z.number().nullable(),
    window: z.number().nonnegative().nullable(),
  }),
  phases: z.array(ReportPhaseSchema).max(200),
  memory: z.object({
    total_bytes: bytes,
    saveable_bytes: bytes,
    sent_bytes: bytes,
    sent_frozen_bytes: bytes,
  }),
  check: MemoryCheckSchema.nullable().default(null),
  client: z.null(),
  verification: z.null(),
  environment: z.null(),
});

export const MigrationSchema = z.object({
  id: z.string().regex(/^[0-9a-f]{32}$/),
  generation: z.int().positive(),
  /** Counts the records of this migration; compare-and-swap works on it. */
  version: z.int().positive(),
  source: z.string().min(1).max(64),
  target: z.string().min(1).max(64),
  engine: z.enum(ENGINE_CHOICES),
  options: OptionsSchema,
  state: z.enum(STATES),
  decision: z.enum(DECISIONS),
  owner: z.enum(['source', 'target', 'in-doubt']),
  error: FaultSchema.nullable(),
  warnings: z.array(FaultSchema).max(WARNINGS_MAX),
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
  ended_at: z.iso.datetime().nullable(),
  report: ReportSchema.nullable(),
});

export const EventSchema = z.object({
  sequence: z.int().positive(),
  at: z.iso.datetime(),
  /** Milliseconds since the migration was created, on the monotonic clock. */
  elapsed_ms: z.number(),
  kind: z.enum(['state', 'phase', 'note', 'measure', 'round', 'end']),
  data: z.record(z.string().max(64), z.unknown()),
});

export const LineSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('generation'), value: z.int().nonnegative() }),
  z.object({ kind: z.literal('migration'), migration: MigrationSchema }),
  z.object({ kind: z.literal('event'), migration: z.string(), event: EventSchema }),
]);

export type Engine = (typeof ENGINES)[number];
export type EngineChoice = (typeof ENGINE_CHOICES)[number];
export type Options = z.infer<typeof OptionsSchema>;
export type Fault = z.infer<typeof FaultSchema>;
export type State = (typeof STATES)[number];
export type Decision = (typeof DECISIONS)[number];
export type Migration = z.infer<typeof MigrationSchema>;
export type MigrationEvent = z.infer<typeof EventSchema>;
export type Report = z.infer<typeof ReportSchema>;
export type ReportPhase = z.infer<typeof ReportPhaseSchema>;
export type Line = z.infer<typeof LineSchema>;

/** It has ended, but it was not heard of the machine that owns the state by the records. */
export function isOpen({ state, decision }: Pick<Migration, 'state' | 'decision'>): boolean {
  return state === 'in-doubt' || (state === 'moved' && decision === 'go');
}
