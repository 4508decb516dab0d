/**
 * The demo's report of one move: the orchestrator's own report, and what only somebody outside can
 * know: what the client saw, what was checked, and where it ran. `ReportFile` is what `--json`
 * writes. What an engine cannot measure is null, never 0.
 */
import { z } from 'zod';
import { ReportSchema as MigrationReportSchema } from '../../../../orchestrator/store/record.ts';
import { NamedFrameSchema } from '../frames.ts';

const ms = z.number().finite();

/** Commits kept for the picture of one move; the figures are made from all of them. */
export const MAX_LATENCIES = 2000;
export const MAX_ERRORS = 100;
export const MAX_SPANS = 2000;
export const MAX_MOVES = 1000;
/** As many as the orchestrator names. */
export const MAX_FRAMES = 4096;

export const ClientSchema = z.object({
  committed: z.number().int().nonnegative(),
  lost: z.number().int().nonnegative(),
  /** Null if the way of moving ends every connection, as a shutdown does. */
  connection_survived: z.boolean().nullable(),
  errors: z.array(z.string().max(1024)).max(MAX_ERRORS),
  /** Commits a second before the attempt, and while memory went over with the machine working. */
  commits_per_s: z
    .object({ before: ms.nonnegative().nullable(), precopy: ms.nonnegative().nullable() })
    .default({ before: null, precopy: null }),
  /** What it committed in spans of `step_ms`, one after the other; the first begins at `from_ms`. */
  throughput: z
    .object({
      from_ms: ms,
      step_ms: ms.positive(),
      commits: z.array(z.number().int().nonnegative()).max(MAX_SPANS),
    })
    .nullable()
    .default(null),
  /** Around the attempt: [start from the quarantine, latency], in ms, oldest first. */
  latencies: z.array(z.tuple([ms, ms.nonnegative()])).max(MAX_LATENCIES),
});

/** Null is what the way of moving does not even try to keep. */
export const VerificationSchema = z.object({
  rows: z.boolean(),
  disk: z.boolean(),
  file: z.boolean().nullable(),
  memory: z.boolean().nullable(),
  /** Same boot, same process with the same start time, and the uptime went on. */
  continued: z.boolean().nullable(),
  /** Every service runs in the process that it had before, and no unit has failed. */
  services: z.boolean().nullable(),
  /** Neither machine's kernel has complained, since it was booted, of a bug or of what it watches over. */
  kernels: z.boolean(),
  /** Every page frame that may not differ is what it was; null without `--check`. */
  frames: z.boolean().nullable().default(null),
});

export const EnvironmentSchema = z.object({
  accelerator: z.string().max(64),
  /** QEMU's version. */
  emulator: z.string().max(64).default('unknown'),
  cpus: z.number().int().positive(),
  memory_mib: z.number().int().positive(),
  nic: z.string().max(64),
  disk: z.string().max(64),
  kernel: z.string().max(256),
  database: z.string().max(256),
  load: z.string().max(64),
  /** Of the memory, by a process that holds it; and how much of it is written anew. */
  fill_percent: z.number().int().nonnegative().default(0),
  change_mib_per_s: z.number().int().nonnegative().default(0),
  run: z.string().max(128),
});

export const ReportSchema = MigrationReportSchema.extend({
  client: ClientSchema,
  verification: VerificationSchema,
  environment: EnvironmentSchema,
  /** Those that differ, by name and reason. */
  differing_frames: z.array(NamedFrameSchema).max(MAX_FRAMES).default([]),
});

export const ReportFileSchema = z.object({
  version: z.literal(1),
  ok: z.boolean(),
  moves: z.array(ReportSchema).max(MAX_MOVES),
});

export type MigrationReport = z.infer<typeof MigrationReportSchema>;
export type Report = z.infer<typeof ReportSchema>;
export type ReportFile = z.infer<typeof ReportFileSchema>;
export type ReportPhase = Report['phases'][number];
export type Verification = z.infer<typeof VerificationSchema>;
export type Environment = z.infer<typeof EnvironmentSchema>;
export type Latency = Report['client']['latencies'][number];
