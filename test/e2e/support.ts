/** What the end-to-end tests share: a demo run as a user runs it, and a lab for everything else. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import type { Test } from 'tap';
import {
  type Report,
  type ReportFile,
  ReportFileSchema,
} from '../../images/lab/demo/report/schema.ts';

export const ROOT = resolve(import.meta.dirname, '../..');
const DEMO = 'images/lab/demo/main.ts';

/** The slowest run that is still allowed: a single one, on a busy machine. */
export const DOWNTIME_MS_MAX = { delta: 3000, full: 7000, stock: 9000 } as const;

export interface DemoRun {
  code: number;
  output: string;
  file: ReportFile;
}

/** Runs the demo to its end and reads the JSON that it promises. */
export async function runDemo(words: readonly string[]): Promise<DemoRun> {
  const directory = mkdtempSync(resolve(tmpdir(), 'pmsm-demo-'));
  const json = resolve(directory, 'report.json');
  try {
    const child = spawn(process.execPath, [DEMO, '--json', json, ...words], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    const code = await new Promise<number>((done) => child.on('close', (n) => done(n ?? 1)));
    const file = ReportFileSchema.parse(JSON.parse(readFileSync(json, 'utf8')));
    return { code, output, file };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Everything that the demo promises of one move. */
export function checkReport(
  t: Test,
  report: Report,
  engine: 'full' | 'delta',
  downtime_ms_max: number,
): void {
  t.match(report, {
    ok: true,
    engine,
    owner: 'target',
    outcome: 'moved',
    error: null,
    client: { lost: 0, connection_survived: true, errors: [] },
    verification: { rows: true, disk: true, file: true, memory: true },
  });
  t.ok(report.client.committed > 0, `${report.client.committed} rows were committed`);
  const { client, window } = report.downtime_ms;
  t.ok(client !== null && client > 0 && client <= downtime_ms_max, `the client saw ${client} ms`);
  t.ok(window !== null && client !== null && window > 0 && window <= client + 1000, `${window} ms`);
  const { total_bytes, sent_bytes, sent_frozen_bytes } = report.memory;
  const incompressible_bytes = 64 * 2 ** 20;
  const [whole, frozen] = [sent_bytes ?? 0, sent_frozen_bytes ?? 0];
  t.ok(whole > incompressible_bytes, 'at least the incompressible memory was sent');
  t.equal(frozen > incompressible_bytes, engine === 'full', `${frozen} bytes in the window`);
  t.ok(whole >= frozen && whole < (total_bytes ?? 0), `${whole} bytes in all`);
  for (const name of ['quarantine', 'freeze', 'snapshot', 'send', 'jump', 'alive', 'go', 'thaw']) {
    t.ok(
      report.phases.some((phase) => phase.name === name),
      `the report has the phase ${name}`,
    );
  }
}
