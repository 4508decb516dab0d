/** Migrations, machines and findings in words, for people. */
import { ERRORS, isErrorCode } from '../../agent/wire/errors.ts';
import type { Host, MigrationView, PreflightAnswer } from '../api/schemas.ts';
import type { Report } from '../store/record.ts';
import { formatBytes, formatMs, formatTable, paint } from './format.ts';

const OUTCOMES = {
  moved: 'The machine has moved',
  'rolled-back': 'Not moved: the source runs again',
  refused: 'Refused: nothing was changed',
  'in-doubt': 'In doubt: neither machine acts until a person decides',
} as const;

export function describeEnd(migration: MigrationView, report: Report | null): string {
  const { outcome, source, target, error, warnings, id } = migration;
  if (outcome === null) return `${id} runs: ${migration.state}, phase ${migration.phase ?? '-'}`;
  const lines = [`${OUTCOMES[outcome]} (${source} to ${target}, ${id}).`];
  const window = report?.downtime_ms.window ?? null;
  if (window !== null) lines.push(`It stood still for ${formatMs(window)}.`);
  for (const fault of [...(error ? [error] : []), ...warnings]) lines.push(describeFault(fault));
  return lines.join('\n');
}

function describeFault({ code, detail }: { code: string; detail: string }): string {
  const entry = isErrorCode(code) ? ERRORS[code] : undefined;
  const what = [`${code}:`, entry?.title, detail].filter(Boolean).join(' ');
  return entry ? `${what}\n  ${entry.remedy}` : what;
}

export function describeMigration(migration: MigrationView): string {
  const rows = [
    ['id', migration.id],
    ['way', `${migration.source} to ${migration.target}`],
    ['state', migration.state],
    ['owner', migration.owner],
    ['phase', migration.phase ?? '-'],
    ['begun', migration.created_at],
    ['ended', migration.ended_at ?? '-'],
  ];
  const faults = [...(migration.error ? [migration.error] : []), ...migration.warnings];
  return formatTable(rows) + faults.map((fault) => `${describeFault(fault)}\n`).join('');
}

export function describeList(migrations: MigrationView[]): string {
  if (migrations.length === 0) return 'No migration yet.\n';
  const rows = migrations.map(({ id, source, target, state, owner, error, created_at }) => [
    id,
    source,
    target,
    state,
    owner,
    error?.code ?? '-',
    created_at,
  ]);
  return formatTable([['ID', 'SOURCE', 'TARGET', 'STATE', 'OWNER', 'ERROR', 'BEGUN'], ...rows]);
}

export function describeHosts(hosts: Host[]): string {
  if (hosts.length === 0) return 'No machine is configured.\n';
  const rows = hosts.map(({ name, address, state, facts }) => [
    name,
    address,
    state,
    facts ? formatBytes(facts.total_bytes) : '-',
    facts?.used_bytes ? formatBytes(facts.used_bytes) : '-',
    facts ? String(facts.cpus) : '-',
    facts?.kernel ?? '-',
  ]);
  return formatTable([['NAME', 'ADDRESS', 'STATE', 'MEMORY', 'USED', 'CPUS', 'KERNEL'], ...rows]);
}

export function describeCheck(answer: PreflightAnswer, stream: NodeJS.WriteStream): string {
  const marks = {
    ok: paint('green', 'ok    ', stream),
    warn: paint('yellow', 'warn  ', stream),
    refuse: paint('red', 'refuse', stream),
  };
  const lines = answer.findings.map(({ severity, code, found, why, remedy }) =>
    severity === 'ok'
      ? `${marks.ok}  ${found}`
      : `${marks[severity]}  ${code}: ${found}\n        ${why}\n        ${remedy}`,
  );
  const to = answer.target === null ? '' : ` to ${answer.target}`;
  const verdict = answer.ok
    ? `${answer.source} can move${to}.`
    : `${answer.source} cannot move${to} as it is.`;
  return `${lines.join('\n')}\n${verdict}\n`;
}

/** What a person is asked to agree to. */
export function describeExpectation({ engine, expected_downtime_ms }: PreflightAnswer): string {
  if (engine === 'delta') return 'It stands still for about a second.';
  if (expected_downtime_ms === null) return 'It stands still for some seconds.';
  return `It stands still for about ${formatMs(expected_downtime_ms)}.`;
}

export function describeReport(report: Report): string {
  const { downtime_ms, memory, phases } = report;
  const maybeMs = (ms: number | null): string => (ms === null ? '-' : formatMs(ms));
  const maybeBytes = (bytes: number | null): string => (bytes === null ? '-' : formatBytes(bytes));
  const head = formatTable([
    ['outcome', report.outcome],
    ['owner', report.owner],
    ['error', report.error ? `${report.error.code} ${report.error.detail}` : '-'],
    ['window', maybeMs(downtime_ms.window)],
    ['memory', maybeBytes(memory.total_bytes)],
    ['saveable', maybeBytes(memory.saveable_bytes)],
    ['sent', maybeBytes(memory.sent_bytes)],
    ['sent frozen', maybeBytes(memory.sent_frozen_bytes)],
  ]);
  const rows = phases.map(({ name, side, start_ms, duration_ms }) => [
    name,
    side,
    formatMs(start_ms).padStart(10),
    formatMs(duration_ms).padStart(10),
  ]);
  return `${head}\n${formatTable([['PHASE', 'SIDE', '     START', '  DURATION'], ...rows])}`;
}
