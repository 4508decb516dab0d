/** What the demo says: how a move goes on standard error, what came out on standard output. */
import { isErrorCode, PmsmError } from '../../../agent/wire/errors.ts';
import type { MigrationEvent } from '../../../orchestrator/store/record.ts';
import type { Progress } from '../../progress.ts';
import { drawAscii, summarise } from './report/ascii.ts';
import { formatMs } from './report/format.ts';
import type { Report, ReportFile } from './report/schema.ts';
import { failuresOf } from './verdict.ts';

const MIN_COLUMNS = 80;
const MAX_COLUMNS = 140;

/** One line a phase as it begins, and what goes wrong. */
export function tellEvents(progress: Progress): (event: MigrationEvent) => void {
  return (event) => {
    const text = describeEvent(event);
    if (text !== null) progress.note(`  ${formatMs(event.elapsed_ms).padStart(8)}  ${text}`);
  };
}

export function describeEvent({ kind, data }: MigrationEvent): string | null {
  if (kind === 'phase') return data.edge === 'begin' ? String(data.phase) : null;
  if (kind === 'note' && 'failed' in data) {
    return `${String(data.failed)} failed: ${String(data.code)} ${String(data.detail ?? '')}`.trim();
  }
  if (kind === 'note') return JSON.stringify(data);
  if (kind === 'end') return `${String(data.outcome)}, owner: ${String(data.owner)}`;
  return null;
}

/** The timeline and the verdict of one move. */
export function tellReport(report: Report, title: string, columns: number | undefined): string {
  const width = Math.min(Math.max(columns ?? MIN_COLUMNS, MIN_COLUMNS), MAX_COLUMNS);
  return `\n${title}\n\n${drawAscii(report, width)}\n\n${summarise(report)}\n`;
}

export interface Places {
  /** The machine that runs now, or may run; null if nobody knows. */
  readonly runs: string | null;
  readonly logs: string;
  readonly page: string;
}

export function tellVerdict(file: ReportFile, wanted: number, places: Places): string {
  const lines: string[] = [];
  file.moves.forEach((move, index) => {
    for (const failure of failuresOf(move)) lines.push(`  move ${index + 1}: ${failure}`);
  });
  if (file.moves.length < wanted) {
    lines.push(`  ${file.moves.length} of ${wanted} moves were made`);
  }
  const count = `${file.moves.length} ${file.moves.length === 1 ? 'move' : 'moves'}`;
  if (file.ok) return `All holds: ${count}, nothing lost. ${places.page}`;
  const owner =
    places.runs === null
      ? 'In doubt: neither machine may run until a person decides (docs/recovery.md).'
      : `The machine runs on ${places.runs}.`;
  const remedies = remediesOf(file);
  return ['Not all holds:', ...lines, owner, ...remedies, `Consoles: ${places.logs}`].join('\n');
}

function remediesOf(file: ReportFile): string[] {
  const codes = new Set(file.moves.map((move) => move.error?.code).filter(isErrorCode));
  return [...codes].map((code) => new PmsmError(code).remedy);
}

/** The exit code of the worst that happened: 0 only if all holds. */
export function exitCodeOf(file: ReportFile): number {
  if (file.ok) return 0;
  const last = file.moves.at(-1);
  if (last === undefined || last.outcome === 'moved') return 1;
  return { refused: 3, 'rolled-back': 4, 'in-doubt': 5 }[last.outcome];
}
