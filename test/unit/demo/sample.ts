/** A report as one good move makes it, with commits made by a fixed rule. */
import type { Latency, Report, ReportPhase } from '../../../images/lab/demo/report/schema.ts';

function phase(
  name: string,
  side: ReportPhase['side'],
  start_ms: number,
  duration_ms: number,
): ReportPhase {
  return { name, side, start_ms, duration_ms };
}

const PHASES: readonly ReportPhase[] = [
  phase('plan', 'orchestrator', -3420, 14),
  phase('preflight', 'orchestrator', -3406, 620),
  phase('reserve', 'target', -2786, 12),
  phase('prepare', 'source', -2774, 2770),
  phase('quarantine', 'source', 0, 6.4),
  phase('freeze', 'source', 6.4, 48),
  phase('freeze-processes', 'source', 6.4, 31),
  phase('freeze-filesystems', 'source', 37.4, 17),
  phase('snapshot', 'source', 55, 520),
  phase('preallocate', 'source', 55, 110),
  phase('suspend-devices', 'source', 165, 61),
  phase('copy', 'source', 226, 248),
  phase('resume-devices', 'source', 474, 101),
  phase('send', 'source', 575, 1410),
  phase('receive', 'target', 590, 1398),
  phase('verify', 'target', 1988, 22),
  phase('commit', 'orchestrator', 2010, 9),
  phase('jump', 'target', 2019, 510),
  phase('quiesce', 'target', 2019, 72),
  phase('switch', 'target', 2091, 206),
  phase('restore-devices', 'target', 2297, 232),
  phase('alive', 'target', 2529, 390),
  phase('rehome', 'target', 2529, 12),
  phase('link-up', 'target', 2541, 378),
  phase('go', 'orchestrator', 2919, 7),
  phase('thaw', 'target', 2926, 58),
  phase('release', 'source', 2990, 140),
];

/** About 90 commits a second, with a heartbeat, and one that waited for the move. */
function latencies(moved = true): Latency[] {
  const all: Latency[] = [];
  let now = -3000;
  for (let i = 0; now < 6500; i += 1) {
    const waits = moved && now <= 0 && now + 14 > 0;
    const latency = waits ? 3148.2 - now : 6 + ((i * 37) % 11) + (i % 50 === 0 ? 45 : 0);
    all.push([Math.round(now * 100) / 100, Math.round(latency * 100) / 100]);
    now += latency + 0.4;
  }
  return all;
}

export function sampleReport(): Report {
  return {
    id: '0123456789abcdef0123456789abcdef',
    source: 'node1',
    target: 'node2',
    warnings: [],
    ok: true,
    engine: 'full',
    check: null,
    owner: 'target',
    outcome: 'moved',
    error: null,
    downtime_ms: { client: 3160.3, gap_before: 92.4, window: 2984 },
    phases: [...PHASES],
    memory: {
      total_bytes: 2147483648,
      saveable_bytes: 741343232,
      sent_bytes: 301989888,
      sent_frozen_bytes: 289406976,
    },
    client: {
      committed: 2841,
      lost: 0,
      connection_survived: true,
      errors: [],
      throughput: null,
      commits_per_s: { before: 250, precopy: null },
      latencies: latencies(),
    },
    verification: {
      rows: true,
      disk: true,
      file: true,
      memory: true,
      continued: true,
      services: true,
      kernels: true,
      frames: null,
    },
    differing_frames: [],
    environment: {
      accelerator: 'tcg',
      emulator: '7.2.22',
      cpus: 1,
      memory_mib: 2048,
      nic: 'e1000e',
      disk: 'ahci',
      kernel: '6.12.107 patched',
      database: 'mysql 9.7.4',
      load: 'light',
      fill_percent: 0,
      change_mib_per_s: 0,
      run: '2026-11-21T06:00:00Z',
    },
  };
}

/** One that ended in preflight: no window, nothing sent. */
export function refusedReport(): Report {
  const sample = sampleReport();
  return {
    ...sample,
    ok: false,
    owner: 'source',
    outcome: 'refused',
    error: { code: 'kernel-mismatch', detail: '6.12.107-1 and 6.12.110-1' },
    downtime_ms: { client: 93.1, gap_before: 92.4, window: null },
    phases: [phase('plan', 'orchestrator', 0, 14), phase('preflight', 'orchestrator', 14, 620)],
    client: { ...sample.client, latencies: latencies(false) },
    memory: { total_bytes: null, saveable_bytes: null, sent_bytes: null, sent_frozen_bytes: null },
  };
}
