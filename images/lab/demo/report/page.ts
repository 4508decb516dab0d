/** report.html: the report for people. One file, nothing loaded from elsewhere, no script needed. */
import { STEPS } from '../../../../agent/wire/phases.gen.ts';
import { escapeText, formatBytes, formatCount, formatMs, sayFrames } from './format.ts';
import { median } from './median.ts';
import { PAGE_STYLE } from './page-style.ts';
import type { Report, ReportFile } from './schema.ts';
import { drawTimeline } from './timeline.ts';

const STEP_NAMES: ReadonlySet<string> = new Set(STEPS.map((step) => step.name));

export function renderPage(file: ReportFile): string {
  const several = file.moves.length > 1;
  const body = [
    header(file),
    several ? overview(file.moves) : '',
    ...file.moves.map((move, index) => section(move, index, several)),
  ].join('\n');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeText(`pmsm: ${headline(file)}`)}</title>
<style>
${PAGE_STYLE}
</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
}

function headline(file: ReportFile): string {
  const moves = file.moves.length;
  const last = file.moves.at(-1);
  if (last === undefined) return 'Nothing was moved';
  const failed = file.moves.filter((move) => !move.ok).length;
  if (failed > 0 || !file.ok) {
    if (moves === 1) return failedHeadline(last);
    return `${failed} of ${moves} moves did not hold`;
  }
  return moves === 1 ? 'The machine moved, and nothing was lost' : `${moves} moves, nothing lost`;
}

function failedHeadline(report: Report): string {
  const texts: Record<Report['outcome'], string> = {
    moved: 'The machine moved, but not all holds',
    'rolled-back': 'Rolled back: the source is running again',
    refused: 'Refused before anything changed',
    'in-doubt': 'In doubt: a person must decide which machine runs',
  };
  return texts[report.outcome];
}

function header(file: ReportFile): string {
  const first = file.moves[0];
  const mark = file.ok ? 'good' : 'bad';
  const line = first === undefined ? '' : environmentLine(first);
  return `<header>
<p class="brand">pmsm</p>
<h1 class="${mark}">${escapeText(headline(file))}</h1>
<p class="soft">${escapeText(line)}</p>
</header>`;
}

function environmentLine({ environment, engine }: Report): string {
  const { database, memory_mib, cpus, nic, disk, accelerator, emulator } = environment;
  const machine = `${memory_mib} MiB, ${cpus} CPU${cpus > 1 ? 's' : ''}, ${nic}, ${disk}`;
  return `${database} on ${machine} (QEMU ${emulator}, ${accelerator}), engine ${engine}`;
}

/** One bar a move, against the longest of them. */
function overview(moves: readonly Report[]): string {
  const gaps = moves.flatMap((move) => move.downtime_ms.client ?? []);
  const longest = Math.max(1, ...gaps);
  const rows = moves.map((move, index) => {
    const gap = move.downtime_ms.client;
    const width = (100 * (gap ?? 0)) / longest;
    return `<li><a href="#move-${index + 1}">${index + 1}</a>
<span class="track"><span class="${move.ok ? 'fill' : 'fill bad'}" style="width:${width.toFixed(1)}%"></span></span>
<span class="number">${formatMs(gap)}</span>${mark(move.ok)}</li>`;
  });
  return `<section class="card">
<div class="figures">
${figure(formatMs(median(gaps)), 'median downtime, as the client saw it')}
${figure(formatMs(gaps.length > 0 ? longest : null), 'longest of all moves')}
${figure(formatCount(moves.at(-1)?.client.committed ?? 0), 'rows acknowledged, one connection')}
</div>
<ol class="moves">
${rows.join('\n')}
</ol>
</section>`;
}

function section(report: Report, index: number, several: boolean): string {
  const title = several
    ? `<h2>Move ${index + 1} <span class="soft">${outcomeOf(report)}</span></h2>`
    : '';
  const content = `${figures(report)}
${problem(report)}
<div class="picture wide">${drawTimeline(report, 1120)}</div>
<div class="picture narrow">${drawTimeline(report, 380)}</div>
<div class="columns">
<section><h3>What was checked</h3>${checks(report)}<h3>Memory</h3>${memory(report)}
<h3>Rows committed in a second</h3>${rates(report)}
<h3>Where it ran</h3>${environment(report)}</section>
<section><h3>Phases</h3>${phases(report)}</section>
</div>`;
  if (!several) return `<section class="card" id="move-1">${content}</section>`;
  const open = index === 0 || !report.ok ? ' open' : '';
  return `<details class="card" id="move-${index + 1}"${open}><summary>${title}</summary>${content}</details>`;
}

function figures(report: Report): string {
  const { client, gap_before, window } = report.downtime_ms;
  const frozen = report.memory.sent_frozen_bytes;
  return `<div class="figures">
${figure(formatMs(client), 'downtime, as the client saw it', 'big')}
${figure(formatMs(window), 'the machine stood still')}
${figure(formatMs(gap_before), 'longest gap before, for comparison')}
${figure(formatBytes(frozen), 'sent while it stood still')}
</div>`;
}

function figure(value: string, label: string, className = ''): string {
  const open = value === 'not measured' ? 'figure none' : `figure ${className}`.trim();
  return `<div class="${open}"><b>${escapeText(value)}</b><span>${escapeText(label)}</span></div>`;
}

function problem(report: Report): string {
  const lines = [];
  if (report.error !== null) {
    const { code, detail } = report.error;
    lines.push(`<b>${escapeText(code)}</b>: ${escapeText(detail)}`);
  }
  for (const warning of report.warnings) {
    lines.push(`${escapeText(warning.code)}: ${escapeText(warning.detail)}`);
  }
  for (const error of report.client.errors.slice(0, 10)) lines.push(escapeText(error));
  if (lines.length === 0) return '';
  return `<div class="problem"><p>Owner now: <b>${report.owner}</b></p><ul>${lines
    .map((entry) => `<li>${entry}</li>`)
    .join('')}</ul></div>`;
}

function mark(ok: boolean): string {
  return ok
    ? '<span class="mark good" role="img" aria-label="holds">✓</span>'
    : '<span class="mark bad" role="img" aria-label="does not hold">✗</span>';
}

function checks(report: Report): string {
  const { client, verification } = report;
  const count = formatCount(client.committed);
  const rows: [boolean | null, string][] = [
    [client.connection_survived, 'The client is on the same connection as before'],
    [verification.rows, `Every acknowledged row is there (${count}, ${client.lost} lost)`],
    [verification.memory, '64 MiB of random memory in a process unchanged'],
    [verification.file, '64 MiB of random data in a file unchanged'],
    [verification.continued, 'Same boot, same process, uptime went on'],
    [verification.services, 'Every service runs, in the process that it had'],
    [verification.disk, 'e2fsck finds the disk clean'],
    [verification.kernels, 'Neither kernel complained of anything'],
  ];
  const { frames } = verification;
  rows.push([frames, sayFrames(report)]);
  const list = rows.flatMap(([ok, text]) =>
    ok === null ? [] : `<li>${mark(ok)}<span>${escapeText(text)}</span></li>`,
  );
  return `<ul class="checks">${list.join('\n')}</ul>`;
}

function table(rows: readonly (readonly [string, string])[]): string {
  const lines = rows.map(
    ([name, value]) =>
      `<tr><th scope="row">${escapeText(name)}</th><td>${escapeText(value)}</td></tr>`,
  );
  return `<table class="pairs">${lines.join('\n')}</table>`;
}

function memory({ memory: m }: Report): string {
  return table([
    ['of the machine', formatBytes(m.total_bytes)],
    ['to be saved', formatBytes(m.saveable_bytes)],
    ['sent in all', formatBytes(m.sent_bytes)],
    ['sent in the window', formatBytes(m.sent_frozen_bytes)],
  ]);
}

function rates({ client: { commits_per_s: rate } }: Report): string {
  const text = (value: number | null) => (value === null ? 'not measured' : formatCount(value));
  return table([
    ['before', text(rate.before)],
    ['while memory went over', text(rate.precopy)],
  ]);
}

function environment({ environment: e, engine }: Report): string {
  return table([
    ['engine', engine],
    ['accelerator', e.accelerator],
    ['QEMU', e.emulator],
    ['CPUs', String(e.cpus)],
    ['memory', `${e.memory_mib} MiB`],
    ['network card', e.nic],
    ['disk', e.disk],
    ['kernel', e.kernel],
    ['database', e.database],
    ['load', e.load],
    ['run', e.run],
  ]);
}

/** In the order of time, steps under the phase that they are part of. */
function phases(report: Report): string {
  const rows = [...report.phases]
    .sort((a, b) => a.start_ms - b.start_ms || b.duration_ms - a.duration_ms)
    .map((phase) => {
      const step = STEP_NAMES.has(phase.name) ? ' class="step"' : '';
      const mark = `<i class="${phase.side}" title="${phase.side}"></i>`;
      return `<tr${step}><th scope="row">${mark}${escapeText(phase.name)}</th>
<td>${phase.side}</td><td>${formatMs(phase.start_ms)}</td><td>${formatMs(phase.duration_ms)}</td></tr>`;
    });
  return `<table class="phases"><thead><tr><th scope="col">phase</th><th scope="col">side</th>
<th scope="col">from</th><th scope="col">took</th></tr></thead><tbody>
${rows.join('\n')}
</tbody></table>`;
}

function outcomeOf({ outcome, downtime_ms }: Report): string {
  return `${escapeText(outcome)}, ${formatMs(downtime_ms.client)}`;
}
