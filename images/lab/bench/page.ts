/** The bench for people: one file, nothing loaded from elsewhere, no script. */
import { escapeText, formatCount } from '../demo/report/format.ts';
import { PAGE_STYLE } from '../demo/report/page-style.ts';
import type { Report } from '../demo/report/schema.ts';
import { failuresOf } from '../demo/verdict.ts';
import { picturesOf } from './plots.ts';
import { type Summary, summarise } from './summary.ts';
import { HEAD, legend, rowsOf } from './table.ts';

export function renderPage(reports: readonly Report[]): string {
  const summaries = summarise(reports);
  const pictures = picturesOf(reports).map(
    ({ title, note, svg }) =>
      `<section class="card"><h2>${escapeText(title)}</h2><p class="soft">${escapeText(note)}</p>\n${svg}</section>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeText(`pmsm bench: ${headline(summaries)}`)}</title>
<style>
${PAGE_STYLE}
.card svg { display: block; width: 100%; height: auto; }
.wide { overflow-x: auto; } .wide td, .wide th { white-space: nowrap; }
</style>
</head>
<body>
<main>
<header><p class="brand">pmsm bench</p><h1>${escapeText(headline(summaries))}</h1>
<p class="soft">${escapeText(setup(reports))}</p></header>
<section class="card">${table(summaries)}
<p class="soft">${legend(summaries).map(escapeText).join('<br>')}</p></section>
${pictures.join('\n')}
${failed(reports)}
</main>
</body>
</html>
`;
}

function headline(summaries: readonly Summary[]): string {
  const ours = summaries.find(
    ({ engine, to_hypervisor }) => engine === 'delta' && to_hypervisor !== null,
  );
  if (ours?.to_hypervisor) {
    return `delta makes a client wait ${ours.to_hypervisor.toFixed(1)} times as long as a hypervisor does`;
  }
  const runs = summaries.reduce((sum, summary) => sum + summary.runs, 0);
  return `${formatCount(runs)} ${runs === 1 ? 'run' : 'runs'}`;
}

function setup(reports: readonly Report[]): string {
  const environment = reports[0]?.environment;
  if (environment === undefined) return 'Nothing has been run.';
  const { accelerator, emulator, cpus, nic, disk, kernel, database } = environment;
  const processors = `${cpus} CPU${cpus === 1 ? '' : 's'}`;
  return [`QEMU ${emulator}`, accelerator, processors, nic, disk, kernel, database].join(', ');
}

function table(summaries: readonly Summary[]): string {
  const head = HEAD.map((name) => `<th scope="col">${escapeText(name)}</th>`).join('');
  const rows = rowsOf(summaries).map(
    (row) => `<tr>${row.map((cell) => `<td>${escapeText(cell)}</td>`).join('')}</tr>`,
  );
  return `<div class="wide"><table><thead><tr>${head}</tr></thead><tbody>\n${rows.join('\n')}\n</tbody></table></div>`;
}

function failed(reports: readonly Report[]): string {
  const lines = reports.flatMap((report) =>
    failuresOf(report).map(
      (failure) =>
        `<li>${escapeText(`${report.engine}, ${report.environment.run}: ${failure}`)}</li>`,
    ),
  );
  if (lines.length === 0) return '';
  return `<section class="card"><h2>What did not hold</h2><ul>${lines.join('\n')}</ul></section>`;
}
