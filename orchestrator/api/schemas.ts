/** The orchestrator's REST interface. The CLI reads answers through the same schemas. */
import { z } from 'zod';
import { FindingSchema } from '../../agent/source/api/schemas.ts';
import {
  ENGINE_CHOICES,
  ENGINES,
  EventSchema,
  MigrationSchema,
  OptionsSchema,
  ReportSchema,
} from '../store/record.ts';

export const LIST_LIMIT_MAX = 200;

const NameSchema = z.string().min(1).max(64);

export const StartSchema = z.strictObject({
  source: NameSchema,
  target: NameSchema,
  engine: z.enum(ENGINE_CHOICES).default('auto'),
  options: OptionsSchema.strict().prefault({}),
});

/** A migration as it is shown; the record without what only the store needs. */
export const MigrationViewSchema = MigrationSchema.omit({ version: true, report: true }).extend({
  /** The phase that runs now; null before the first and after the last. */
  phase: z.string().nullable(),
  outcome: ReportSchema.shape.outcome.nullable(),
});

export const ListQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(LIST_LIMIT_MAX).default(20),
});

export const MigrationListSchema = z.object({ migrations: z.array(MigrationViewSchema) });

export const IdParamsSchema = z.object({
  id: z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 hex digits'),
});

/** Nobody but a person can know this; saying it wrongly lets two machines run. */
export const ResolveSchema = z.union([
  z.strictObject({ target_is_off: z.literal(true) }),
  z.strictObject({ source_is_off: z.literal(true) }),
]);

export const HostSchema = z.object({
  name: z.string(),
  address: z.string(),
  /**
   * `busy`: a migration goes on there. `vacated`: the last migration moved its machine away and nothing has answered
   * there since.
   */
  state: z.enum(['running', 'standby', 'busy', 'vacated', 'unreachable']),
  facts: z
    .object({
      kernel: z.string(),
      total_bytes: z.number(),
      used_bytes: z.number().nullable(),
      cpus: z.number(),
      cpu_name: z.string(),
    })
    .nullable(),
});

export const HostListSchema = z.object({ hosts: z.array(HostSchema) });

export const PreflightRequestSchema = z.strictObject({
  source: NameSchema,
  target: NameSchema.optional(),
  engine: z.enum(ENGINE_CHOICES).default('auto'),
});

export const PreflightAnswerSchema = z.object({
  ok: z.boolean(),
  source: z.string(),
  target: z.string().nullable(),
  findings: z.array(FindingSchema),
  /** The engine that a migration would use; null without a target. */
  engine: z.enum(ENGINES).nullable(),
  /** A rough guess before anything was measured; null if it cannot be made. */
  expected_downtime_ms: z.number().nonnegative().nullable(),
});

export const HealthSchema = z.object({ ok: z.boolean(), running: z.int().nonnegative() });

export { EventSchema, ReportSchema };
export type StartRequest = z.input<typeof StartSchema>;
export type MigrationView = z.infer<typeof MigrationViewSchema>;
export type Host = z.infer<typeof HostSchema>;
export type PreflightAnswer = z.infer<typeof PreflightAnswerSchema>;
