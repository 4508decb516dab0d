/** The same timeline for a terminal: one line a phase, one scale, figures on the right. */
import { STEPS } from '../../../../agent/wire/phases.gen.ts';
import { formatBytes, formatMs, sayFrames } from './format.ts';
import type { Report, ReportPhase } from './schema.ts';

const STEP_NAMES: ReadonlySet<string> = new Set(STEPS.map((step) => step.name));
const NAME_COLUMNS = 24;
const FIGURE_COLUMNS = 20;
const MIN_BAR_COLUMNS = 20;
/** Eighths of a column, so that even a short phase has the length that it should have. */
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

export function drawAscii(report: Report, columns = 100): string {
  const width = Math.max(MIN_BAR_COLUMNS, columns - NAME_COLUMNS - FIGURE_COLUMNS);
  const span = spanOf(report);
  const lines = [...report.phases]
    .filter((phase) => phase.start_ms + phase.duration_ms >= span.from && phase.start_ms <= span.to)
    .sort((a, b) => a.start_ms - b.start_ms || b.duration_ms - a.duration_ms)
    .map((phase) => row(phase, span, width));
  return [...lines, ...clientRow(report, span, width)].join('\n');
}

interface Span {
  readonly from: number;
  readonly to: number;
}

/** The window; if there was none, all that was done. */
function spanOf(report: Report): Span {
  const { window, client } = report.downtime_ms;
  const ends = report.phases.map((phase) => phase.start_ms + phase.duration_ms);
  if (window !== null) return { from: 0, to: Math.max(window, client ?? 0) };
  const starts = report.phases.map((phase) => phase.start_ms);
  return { from: Math.min(0, ...starts), to: Math.max(1, ...ends) };
}

function row(phase: ReportPhase, span: Span, width: number): string {
  const step = STEP_NAMES.has(phase.name);
  const name = `${step ? '    ' : '  '}${phase.name}`.padEnd(NAME_COLUMNS);
  const bar = drawBar(phase.start_ms, phase.start_ms + phase.duration_ms, span, width);
  return `${name}${bar} ${formatMs(phase.duration_ms).padStart(8)} ${phase.side}`;
}

function clientRow(report: Report, span: Span, width: number): string[] {
  const gap = report.downtime_ms.client;
  if (gap === null) return [];
  const bar = drawBar(span.from, span.from + gap, span, width, '╌');
  return [`${'  client waits'.padEnd(NAME_COLUMNS)}${bar} ${formatMs(gap).padStart(8)} client`];
}

function drawBar(begin: number, end: number, span: Span, width: number, fill = '█'): string {
  const column = (at: number) =>
    (Math.min(Math.max(at, span.from), span.to) - span.from) * (width / (span.to - span.from));
  const left = Math.min(Math.floor(column(begin)), width - 1);
  const length = Math.max(column(end) - left, 1 / 8);
  const whole = Math.min(Math.floor(length), width - left);
  const part = whole + left >= width ? '' : (EIGHTHS[Math.floor((length - whole) * 8)] ?? '');
  const tail = fill === '█' ? part : '';
  return (' '.repeat(left) + fill.repeat(whole) + tail).padEnd(width);
}

function sayRates({ commits_per_s: { before, precopy } }: Report['client']): string[] {
  if (before === null || precopy === null) return [];
  return [`  while memory went over it committed ${precopy} rows a second (before: ${before})`];
}

/** What was checked and what it cost, for a terminal. */
export function summarise(report: Report): string {
  const { client, verification: checked, downtime_ms: downtime, memory } = report;
  const rows: [boolean | null, string][] = [
    [client.connection_survived, 'same connection'],
    [checked.rows, `${client.committed} rows acknowledged, ${client.lost} lost`],
    [checked.memory, 'memory unchanged'],
    [checked.file, 'file unchanged'],
    [checked.continued, 'uptime and process went on'],
    [checked.services, 'services run, in the same processes'],
    [checked.disk, 'disk clean'],
    [checked.kernels, 'no complaint from either kernel'],
  ];
  const { frames } = checked;
  rows.push([frames, sayFrames(report)]);
  const checks = rows.flatMap(([ok, text]) =>
    ok === null ? [] : `  ${ok ? 'ok ' : 'BAD'} ${text}`,
  );
  const sent = `${formatBytes(memory.sent_frozen_bytes)} of ${formatBytes(memory.total_bytes)}`;
  return [
    `  client saw ${formatMs(downtime.client)} (before: ${formatMs(downtime.gap_before)}), ` +
      `window ${formatMs(downtime.window)}, sent ${sent}`,
    ...sayRates(client),
    ...checks,
  ].join('\n');
}
