/** The summary as a table: ratios first, milliseconds second. For the terminal and, as Markdown, for docs. */
import { alignColumns, formatBytes, formatMs } from '../demo/report/format.ts';
import { engines } from './engines/index.ts';
import { nameMemory, type Summary } from './summary.ts';

export const HEAD = [
  'load',
  'memory',
  'engine',
  'x hypervisor',
  'x full',
  'second-worst, x hypervisor',
  'client, median',
  'client, second-worst',
  'window, median',
  'sent in the window',
  'sent',
  'rate in the rounds',
  'held',
] as const;

export function rowsOf(summaries: readonly Summary[]): string[][] {
  return summaries.map((s) => [
    s.load,
    nameMemory(s),
    s.engine,
    times(s.to_hypervisor),
    times(s.to_full),
    times(s.second_worst_to_hypervisor),
    known(s.client_ms, formatMs),
    known(s.client_second_worst_ms, formatMs),
    known(s.window_ms, formatMs),
    known(s.sent_frozen_bytes, formatBytes),
    known(s.sent_bytes, formatBytes),
    known(s.precopy_rate, (part) => `${Math.round(part * 100)} %`),
    `${s.held} of ${s.runs}`,
  ]);
}

export function drawTable(summaries: readonly Summary[]): string {
  return alignColumns([[...HEAD], ...rowsOf(summaries)]);
}

export function drawMarkdown(summaries: readonly Summary[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(HEAD), line(HEAD.map(() => '---')), ...rowsOf(summaries).map(line)].join('\n');
}

/** Which engine is what. */
export function legend(summaries: readonly Summary[]): string[] {
  const names = [...new Set(summaries.map(({ engine }) => engine))];
  return names.map((name) => `${name}: ${engines[name].what}`);
}

function times(ratio: number | null): string {
  if (ratio === null) return '';
  return `${ratio >= 10 ? ratio.toFixed(0) : ratio.toFixed(2)} x`;
}

function known<T>(value: T | null, format: (value: T) => string): string {
  return value === null ? '' : format(value);
}
