/** The matrix as a table: one line a run, nothing but figures that a report holds. */
import { z } from 'zod';
import { formatBytes } from './report/format.ts';
import { median } from './report/median.ts';
import type { Report, ReportFile } from './report/schema.ts';
import type { RunLimits } from './runs.ts';
import { failuresOf } from './verdict.ts';

export const MatrixResultSchema = z.object({
  name: z.string(),
  words: z.array(z.string()),
  ok: z.boolean(),
  exit: z.number().int(),
  seconds: z.number(),
  times: z.number().int(),
  moves: z.number().int(),
  client_ms: z.array(z.number()),
  window_ms: z.array(z.number()),
  sent_frozen_bytes: z.array(z.number()),
  rows: z.number().int(),
  lost: z.number().int(),
  kernel: z.string(),
  database: z.string(),
  run: z.string(),
  failures: z.array(z.string()),
  /** The client's rate while memory goes over, as a part of the rate before. */
  precopy_rate: z.array(z.number()).default([]),
  /** Page frames compared in each move, if they were. */
  compared_frames: z.array(z.number().int()).default([]),
  /** Those that differ by reason, with the number of moves in which they did. */
  differing: z.record(z.string(), z.number().int()).default({}),
});

export type MatrixResult = z.infer<typeof MatrixResultSchema>;

/** One line for the demos of one kind of run, each with its file. */
export function summariseRun(
  name: string,
  words: readonly string[],
  files: readonly ReportFile[],
  { exit, seconds, limits }: { exit: number; seconds: number; limits?: RunLimits },
): MatrixResult {
  const moves = files.flatMap((file) => file.moves);
  // A demo's load counts on from move to move.
  const clients = files.flatMap((file) => file.moves.at(-1)?.client ?? []);
  const last = moves.at(-1);
  const known = (pick: (move: Report) => number | null) => moves.flatMap((m) => pick(m) ?? []);
  const client_ms = known((move) => move.downtime_ms.client);
  const window_ms = known((move) => move.downtime_ms.window);
  const precopy_rate = known(precopyRate);
  const tooLong = limits ? beyond({ client_ms, window_ms, precopy_rate }, limits) : [];
  return {
    name,
    words: [...words],
    ok: files.length > 0 && files.every(({ ok }) => ok) && exit === 0 && tooLong.length === 0,
    exit,
    seconds,
    times: files.length,
    moves: moves.length,
    client_ms,
    window_ms,
    sent_frozen_bytes: known((move) => move.memory.sent_frozen_bytes),
    rows: clients.reduce((sum, { committed }) => sum + committed, 0),
    lost: clients.reduce((sum, { lost }) => sum + lost, 0),
    kernel: last?.environment.kernel ?? '',
    database: last?.environment.database ?? '',
    run: last?.environment.run ?? '',
    precopy_rate,
    compared_frames: moves.flatMap(({ check }) => check?.compared ?? []),
    differing: countReasons(moves),
    failures: moves
      .flatMap((move, index) =>
        failuresOf(move).map((failure) => `move ${index + 1}: ${failure}`.slice(0, 300)),
      )
      .concat(tooLong),
  };
}

function precopyRate({ client }: Report): number | null {
  const { before, precopy } = client.commits_per_s;
  return before && precopy !== null ? precopy / before : null;
}

function countReasons(moves: readonly Report[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { differing_frames } of moves) {
    const reasons = differing_frames.map(
      ({ where, reason, pfn, how }) =>
        `${where}: ${reason ?? `frame ${pfn} (${how}), for no known reason`}`,
    );
    for (const reason of new Set(reasons)) counts[reason] = (counts[reason] ?? 0) + 1;
  }
  return counts;
}

type Measured = Pick<MatrixResult, 'client_ms' | 'window_ms' | 'precopy_rate'>;

function beyond({ client_ms, window_ms, precopy_rate }: Measured, limits: RunLimits): string[] {
  const { median_ms = Number.POSITIVE_INFINITY, longest_ms = Number.POSITIVE_INFINITY } = limits;
  const { window_median_ms, precopy_rate_min } = limits;
  const rate = median(precopy_rate) ?? 0;
  const middle = median(client_ms) ?? Number.POSITIVE_INFINITY;
  const longest = Math.max(...client_ms);
  const window = median(window_ms) ?? Number.POSITIVE_INFINITY;
  return [
    ...(middle > median_ms
      ? [`the median for the client is ${seconds(middle)}, more than ${seconds(median_ms)}`]
      : []),
    ...(longest > longest_ms
      ? [`the client saw ${seconds(longest)}, more than ${seconds(longest_ms)}`]
      : []),
    ...(window_median_ms !== undefined && window > window_median_ms
      ? [`the median window is ${seconds(window)}, more than ${seconds(window_median_ms)}`]
      : []),
    ...(precopy_rate_min !== undefined && rate < precopy_rate_min
      ? [`the client's rate in the rounds is ${percent(rate)}, not ${percent(precopy_rate_min)}`]
      : []),
  ];
}

export function renderResults(title: string, results: readonly MatrixResult[]): string {
  const head = [
    'run',
    'options',
    'moves',
    'client, median',
    'client, longest',
    'window, median',
    'sent in the window',
    'rate in the rounds',
    'rows / lost',
    'kernel, database',
    'holds',
  ];
  const rows = results.map((result) => [
    result.name,
    optionsText(result),
    String(result.moves),
    seconds(median(result.client_ms)),
    seconds(result.client_ms.length > 0 ? Math.max(...result.client_ms) : null),
    seconds(median(result.window_ms)),
    formatBytes(median(result.sent_frozen_bytes)),
    percent(median(result.precopy_rate)),
    `${result.rows} / ${result.lost}`,
    `${result.kernel}, ${result.database}`,
    result.ok ? 'yes' : `no (exit ${result.exit})`,
  ]);
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const failures = results.flatMap((result) =>
    result.failures.map((failure) => `- ${result.name}: ${failure.replaceAll('\n', ' ')}`),
  );
  return [
    `# ${title}`,
    '',
    'Written by `images/lab/demo/matrix.ts`; each line is `npm run demo` with the options named. *Client* is the',
    'longest gap between two successful commits that overlaps the attempt, on one connection that never reconnects.',
    '*Rate in the rounds* is what the client commits while memory goes over, as a part of what it did before.',
    'Every run starts from a boot; `5 x` is five demos, one after the other, nothing else running.',
    'A run holds if every check of every move does: connection, rows, memory, file, uptime, services, disk,',
    'and no kernel has complained.',
    '',
    line(head),
    line(head.map(() => '---')),
    ...rows.map(line),
    ...renderFrames(results),
    ...(failures.length > 0 ? ['', '## What did not hold', '', ...failures] : []),
    '',
  ].join('\n');
}

/** What the checker found, where it was asked. */
function renderFrames(results: readonly MatrixResult[]): string[] {
  const checked = results.filter(({ compared_frames }) => compared_frames.length > 0);
  if (checked.length === 0) return [];
  const compared = checked.flatMap(({ compared_frames }) => compared_frames);
  const counts = new Map<string, number>();
  for (const [reason, count] of checked.flatMap(({ differing }) => Object.entries(differing))) {
    counts.set(reason, (counts.get(reason) ?? 0) + count);
  }
  return [
    '',
    '## Frames that differ',
    '',
    `${compared.length} moves were checked; ${Math.min(...compared)} to ${Math.max(...compared)} page frames were`,
    'compared in each, as they were when the image had been copied and right after the jump.',
    '',
    '| frame | in moves |',
    '| --- | --- |',
    ...[...counts].sort((a, b) => b[1] - a[1]).map(([reason, n]) => `| ${reason} | ${n} |`),
  ];
}

function optionsText({ words, times }: MatrixResult): string {
  const options = words.length > 0 ? `\`${words.join(' ')}\`` : '';
  return times > 1 ? `${times} x ${options}`.trimEnd() : options;
}

function percent(part: number | null): string {
  return part === null ? '' : `${Math.round(part * 100)} %`;
}

function seconds(ms: number | null): string {
  return ms === null ? '' : `${(ms / 1000).toFixed(2)} s`;
}
