import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t, { type Test } from 'tap';
import { drawAscii, summarise } from '../../../images/lab/demo/report/ascii.ts';
import { renderPage } from '../../../images/lab/demo/report/page.ts';
import { type Report, ReportFileSchema } from '../../../images/lab/demo/report/schema.ts';
import { drawTimeline } from '../../../images/lab/demo/report/timeline.ts';
import { refusedReport, sampleReport } from './sample.ts';

const GOLDEN = resolve(import.meta.dirname, 'golden');

/** Compares with the golden file; `PMSM_GOLDEN=write` makes it anew, to be looked at. */
function matchesGolden(t: Test, name: string, actual: string): void {
  const path = resolve(GOLDEN, name);
  if (process.env.PMSM_GOLDEN === 'write') {
    mkdirSync(GOLDEN, { recursive: true });
    writeFileSync(path, actual);
  }
  t.ok(existsSync(path), `${name} exists`);
  t.equal(actual, readFileSync(path, 'utf8'), `as in golden/${name}`);
}

function fileOf(...moves: Report[]) {
  return { version: 1 as const, ok: moves.every((move) => move.ok), moves };
}

t.test('the sample is a valid report', async (t) => {
  const file = fileOf(sampleReport(), refusedReport());
  t.strictSame(ReportFileSchema.parse(JSON.parse(JSON.stringify(file))), file);
});

t.test('the timeline, wide and narrow', async (t) => {
  matchesGolden(t, 'wide.svg', drawTimeline(sampleReport(), 1120));
  matchesGolden(t, 'narrow.svg', drawTimeline(sampleReport(), 380));
});

t.test('a timeline without a window', async (t) => {
  matchesGolden(t, 'refused.svg', drawTimeline(refusedReport(), 1120));
});

t.test('the timeline in a terminal', async (t) => {
  const text = `${drawAscii(sampleReport(), 100)}\n${summarise(sampleReport())}\n`;
  matchesGolden(t, 'timeline.txt', text);
  const widths = drawAscii(sampleReport(), 80)
    .split('\n')
    .map((line) => line.length);
  t.ok(Math.max(...widths) <= 88, 'fits a terminal');
});

t.test('the page is self-contained', async (t) => {
  const page = renderPage(fileOf(sampleReport()));
  t.notMatch(page, /<script|<link|@import|url\(|src=/, 'loads nothing');
  t.notMatch(page.replaceAll('http://www.w3.org/2000/svg', ''), /https?:/, 'names no address');
  t.match(page, '3.16 s');
  t.notMatch(page, 'NaN');
  t.notMatch(page, 'undefined');
});

t.test('the page escapes what others said', async (t) => {
  const report = sampleReport();
  report.client.errors = ['<img onerror="x">'];
  report.error = { code: 'stalled', detail: '<b>' };
  const page = renderPage(fileOf(report));
  t.notMatch(page, '<img');
  t.match(page, '&lt;img onerror=&quot;x&quot;&gt;');
  t.match(page, '&lt;b&gt;');
});

t.test('the page says how bad it is', async (t) => {
  t.match(renderPage(fileOf(refusedReport())), 'Refused before anything changed');
  const lost = sampleReport();
  lost.ok = false;
  lost.verification.disk = false;
  t.match(renderPage(fileOf(lost)), 'The machine moved, but not all holds');
  t.match(renderPage(fileOf(sampleReport(), lost)), '1 of 2 moves did not hold');
  t.match(renderPage(fileOf(sampleReport(), sampleReport())), '2 moves, nothing lost');
});

t.test('nothing measured is not drawn as zero', async (t) => {
  const report = refusedReport();
  report.client.latencies = [];
  const svg = drawTimeline(report);
  t.match(svg, 'no commits recorded');
  t.notMatch(svg, 'NaN');
  t.notMatch(svg, 'without an answer');
});
