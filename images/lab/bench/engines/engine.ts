/**
 * The ways to move a machine that the bench compares. Each moves the same machine, with the same load
 * and client, from node1 to node2, and tells what it did in the terms of a migration's report.
 */
import type { Moved } from '../../demo/migrate.ts';
import type { Keeps, Scene } from '../../demo/one-move.ts';
import type { MigrationReport } from '../../demo/report/schema.ts';

export const ENGINES = ['cold', 'swap', 'full', 'delta', 'hypervisor'] as const;
export type EngineName = (typeof ENGINES)[number];

export interface BenchEngine {
  /** In a few words, for the table. */
  readonly what: string;
  readonly keeps: Keeps;
  /** What is done before the clock starts. */
  readonly prepare: (scene: Scene) => Promise<void>;
  /** Returns when the machine runs on node2, or has failed to. */
  readonly move: (scene: Scene) => Promise<Moved>;
}

const NS_PER_MS = 1e6;

/** One span of a move, on the clock of this process. */
export interface Span {
  readonly name: string;
  readonly side: 'source' | 'target';
  readonly begin_ns: bigint;
  readonly end_ns: bigint;
}

/** What engines that know no orchestrator can say of a move. */
export interface Passage {
  readonly engine: EngineName;
  readonly begin_ns: bigint;
  readonly end_ns: bigint;
  /** When the machine stopped. */
  readonly stopped_ns: bigint;
  readonly window_ms: number | null;
  readonly spans: readonly Span[];
  readonly memory_bytes: number;
  readonly sent_bytes: number | null;
}

/** The passage as a migration that went well; what went wrong was thrown. */
export function movedBy(passage: Passage): Moved {
  const { engine, begin_ns, end_ns, stopped_ns, spans } = passage;
  const sinceStop_ms = (ns: bigint) => Number(ns - stopped_ns) / NS_PER_MS;
  const report: MigrationReport = {
    id: engine,
    source: 'node1',
    target: 'node2',
    ok: true,
    engine,
    owner: 'target',
    outcome: 'moved',
    error: null,
    warnings: [],
    downtime_ms: { client: null, gap_before: null, window: passage.window_ms },
    phases: spans.map((span) => ({
      name: span.name,
      side: span.side,
      start_ms: sinceStop_ms(span.begin_ns),
      duration_ms: Number(span.end_ns - span.begin_ns) / NS_PER_MS,
    })),
    memory: {
      total_bytes: passage.memory_bytes,
      saveable_bytes: null,
      sent_bytes: passage.sent_bytes,
      sent_frozen_bytes: null,
    },
    check: null,
    client: null,
    verification: null,
    environment: null,
  };
  return { report, begin_ns, end_ns, zero_ns: stopped_ns };
}

export const now_ns = (): bigint => process.hrtime.bigint();
