/** The faults as a table: for the terminal, as Markdown for docs, and as a page. */
import { alignColumns, formatMs } from '../demo/report/format.ts';
import { CASES } from './cases.ts';
import type { Checks, Result } from './results.ts';

export const HEAD = ['fault', 'what', 'runs now', 'outage', 'checks', 'holds'] as const;

export function rowsOf(results: readonly Result[]): string[][] {
  return results.map((result) => [
    result.id,
    result.what,
    `${result.owner} (${[result.outcome, result.code].filter(Boolean).join(', ')})`,
    result.outage_ms === null ? 'in doubt' : formatMs(result.outage_ms),
    sayChecks(result.checks),
    result.ok ? 'yes' : 'no',
  ]);
}

/** Those that were made, and those of them that do not hold. */
function sayChecks(checks: Checks): string {
  const made = Object.entries(checks).filter(([, held]) => held !== null);
  const broken = made.filter(([, held]) => held === false).map(([name]) => name);
  const held = `${made.length - broken.length} of ${made.length}`;
  return broken.length > 0 ? `${held}; not ${broken.join(', ')}` : held;
}

export function drawText(results: readonly Result[]): string {
  return alignColumns([[...HEAD], ...rowsOf(results)]);
}

/** For docs. */
export function drawPage(results: readonly Result[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const failures = sayFailures(results).map((failure) => `- ${failure}`);
  const held = results.filter(({ ok }) => ok).length;
  return [
    '# Faults',
    '',
    'Written by `npm run faults -- --export FILE`. Each line is a lab of its own: a machine under load moves, the',
    'fault strikes, and then the client, both machines, the disk and the records are asked. `Fnn` is the phase',
    '(docs/protocol.md), then who is struck: pmsm-freeze, pmsm-restore, or a machine. *Outage* is the longest gap',
    'between two commits of a client. *Checks* are those of the demo (rows, connection, memory, files, services, disk,',
    'kernels), that the disk names the machine that runs, that the other one is off, waits or stays frozen, and that',
    'nothing is left behind; a machine that was reset has lost what was in its memory.',
    '',
    `${held} of ${results.length} hold; there are ${CASES.length} in all (\`npm run faults -- --list\`).`,
    '',
    line(HEAD),
    line(HEAD.map(() => '---')),
    ...rowsOf(results).map(line),
    ...(failures.length > 0 ? ['', '## What did not hold', '', ...failures] : []),
    '',
  ].join('\n');
}

export function sayFailures(results: readonly Result[]): string[] {
  return results.flatMap(({ id, failures }) =>
    failures.map((failure) => `${id}: ${failure.replaceAll('\n', ' ')}`),
  );
}
