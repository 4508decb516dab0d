/** The faults for people: one file, nothing loaded from elsewhere, no script. */
import { escapeText } from '../demo/report/format.ts';
import { PAGE_STYLE } from '../demo/report/page-style.ts';
import type { Result } from './results.ts';
import { HEAD, rowsOf, sayFailures } from './table.ts';

export function renderPage(results: readonly Result[]): string {
  const failed = results.filter(({ ok }) => !ok).length;
  const title = headline(results.length, failed);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeText(`pmsm faults: ${title}`)}</title>
<style>
${PAGE_STYLE}
.wide { overflow-x: auto; } .wide td:nth-child(1), .wide td:nth-child(4) { white-space: nowrap; }
</style>
</head>
<body>
<main>
<header><p class="brand">pmsm faults</p><h1 class="${failed > 0 ? 'bad' : 'good'}">${escapeText(title)}</h1></header>
<section class="card"><div class="wide">${table(results)}</div></section>
${failures(results)}
</main>
</body>
</html>
`;
}

function headline(count: number, failed: number): string {
  if (count === 0) return 'Nothing has been tried';
  if (failed > 0) return `${failed} of ${count} faults did not end as they have to`;
  return `${count} faults, and exactly one machine after each`;
}

function table(results: readonly Result[]): string {
  const head = HEAD.map((name) => `<th scope="col">${escapeText(name)}</th>`).join('');
  const rows = rowsOf(results).map(
    (row) => `<tr>${row.map((cell) => `<td>${escapeText(cell)}</td>`).join('')}</tr>`,
  );
  return `<table><thead><tr>${head}</tr></thead><tbody>\n${rows.join('\n')}\n</tbody></table>`;
}

function failures(results: readonly Result[]): string {
  const lines = sayFailures(results).map((line) => `<li>${escapeText(line)}</li>`);
  if (lines.length === 0) return '';
  return `<section class="card"><h2>What did not hold</h2><ul>${lines.join('\n')}</ul></section>`;
}
