/**
 * The picture of one move, as a self-contained SVG: the phases of source, orchestrator and target
 * above, the latency of every commit below, on one axis that begins with the quarantine.
 */
import { STEPS } from '../../../../agent/wire/phases.gen.ts';
import { escapeText, formatMs } from './format.ts';
import {
  type Flag,
  linearScale,
  logScale,
  type PlacedFlag,
  placeFlags,
  rowsOf,
  type Scale,
  textWidth,
  ticks,
} from './layout.ts';
import type { Latency, Report, ReportPhase } from './schema.ts';
import { TIMELINE_STYLE } from './style.ts';

type Side = ReportPhase['side'];

const LANES: readonly { side: Side; label: string }[] = [
  { side: 'source', label: 'Source' },
  { side: 'orchestrator', label: 'Orchestrator' },
  { side: 'target', label: 'Target' },
];

const STEP_NAMES: ReadonlySet<string> = new Set(STEPS.map((step) => step.name));

const BAR_PX = 24;
const STEP_PX = 10;
const FLAG_PX = 14;
const FLAG_FONT_PX = 11;
const LANE_GAP_PX = 14;
const CLIENT_PX = 150;
const MIN_BAR_PX = 1.5;
/** Bars wider than this are parted from their neighbours by a line. */
const CUT_PX = 5;
/** From here on lane names stand beside the lanes, not above them. */
const WIDE_PX = 700;

interface Frame {
  readonly width: number;
  readonly left: number;
  readonly right: number;
  readonly wide: boolean;
  readonly time: Scale;
  readonly window_ms: number | null;
}

/** A piece of the picture: what to draw from a given top on, and how high it is. */
interface Block {
  readonly height: number;
  readonly svg: string;
}

export function drawTimeline(report: Report, width = 1120): string {
  const frame = makeFrame(report, width);
  const parts: string[] = [];
  let y = 34;
  for (const lane of LANES) {
    const block = drawLane(report, lane, frame, y);
    parts.push(block.svg);
    y += block.height + LANE_GAP_PX;
  }
  const client = drawClient(report, frame, y);
  parts.push(client.svg);
  y += client.height;
  const height = Math.ceil(y + 40);
  return [
    `<svg class="tl" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}"`,
    ` role="img" aria-label="${escapeText(describe(report))}">`,
    `<title>${escapeText(describe(report))}</title>`,
    `<style>${TIMELINE_STYLE}</style>`,
    `<rect class="paper" width="${width}" height="${height}" rx="10"/>`,
    drawWindow(frame, y),
    drawAxis(frame, y),
    ...parts,
    '</svg>',
  ].join('\n');
}

function describe(report: Report): string {
  const { client, window } = report.downtime_ms;
  return `Timeline of one move: the client waited ${formatMs(client)}, window ${formatMs(window)}`;
}

/** The window with some air on both sides; what happened long before it is in the table. */
function makeFrame(report: Report, width: number): Frame {
  const wide = width >= WIDE_PX;
  const window_ms = report.downtime_ms.window;
  const ends = report.phases.map((phase) => phase.start_ms + phase.duration_ms);
  const gap = widestGap(report.client.latencies);
  const middle = Math.max(window_ms ?? Math.max(100, ...ends), gap === null ? 0 : gap[1]);
  const air = Math.min(1500, Math.max(250, 0.18 * middle));
  const first = window_ms === null ? Math.min(0, ...report.phases.map((p) => p.start_ms)) : 0;
  const left = wide ? 116 : 12;
  const right = width - 16;
  const from = Math.min(first, gap?.[0] ?? 0) - air;
  return {
    width,
    left,
    right,
    wide,
    time: linearScale(from, middle + air, left, right),
    window_ms,
  };
}

function widestGap(latencies: readonly Latency[]): [number, number] | null {
  const ends = latencies.map(([start, latency]) => start + latency).sort((a, b) => a - b);
  let widest: [number, number] | null = null;
  for (let i = 1; i < ends.length; i += 1) {
    const [begin, end] = [ends[i - 1] ?? 0, ends[i] ?? 0];
    if (widest === null || end - begin > widest[1] - widest[0]) widest = [begin, end];
  }
  return widest;
}

function drawLane(
  report: Report,
  lane: { side: Side; label: string },
  frame: Frame,
  top: number,
): Block {
  const inView = report.phases.filter(
    (phase) =>
      phase.side === lane.side &&
      phase.start_ms + phase.duration_ms >= frame.time.from &&
      phase.start_ms <= frame.time.to,
  );
  const phases = inView.filter((phase) => !STEP_NAMES.has(phase.name));
  const steps = inView.filter((phase) => STEP_NAMES.has(phase.name));
  const above = placeFlags(
    phases.filter((phase) => !fits(phase, frame)).map((phase) => flagOf(phase, frame)),
    frame.right,
    FLAG_FONT_PX,
  );
  const below = placeFlags(
    steps.map((step) => flagOf(step, frame)),
    frame.right,
    FLAG_FONT_PX,
  );
  const head = frame.wide ? 0 : 20;
  const barTop = top + head + rowsOf(above) * FLAG_PX;
  const stepTop = barTop + BAR_PX + 2;
  const stepsHeight = steps.length > 0 ? 2 + STEP_PX + rowsOf(below) * FLAG_PX : 0;
  const label = frame.wide
    ? text(frame.left - 14, barTop + BAR_PX / 2 + 4.5, lane.label, 'lane', 'end')
    : text(frame.left, top + 12, lane.label, 'lane');
  const svg = [
    label,
    line(frame.left, barTop + BAR_PX / 2, frame.right, barTop + BAR_PX / 2, 'rule'),
    ...above.map((flag) => drawFlag(flag, barTop, -1)),
    ...below.map((flag) => drawFlag(flag, stepTop + STEP_PX, 1)),
    ...phases.map((phase) => drawBar(phase, frame, barTop)),
    ...steps.map((step) => drawStep(step, frame, stepTop)),
  ].join('\n');
  return { height: barTop + BAR_PX + stepsHeight - top, svg };
}

/** The part of a bar that is in view. */
function extent(phase: ReportPhase, frame: Frame): { x: number; width: number } {
  const begin = Math.max(frame.left, frame.time.at(phase.start_ms));
  const end = Math.min(frame.right, frame.time.at(phase.start_ms + phase.duration_ms));
  return { x: begin, width: Math.max(MIN_BAR_PX, end - begin) };
}

function caption(phase: ReportPhase): string {
  return `${phase.name} ${formatMs(phase.duration_ms)}`;
}

function fits(phase: ReportPhase, frame: Frame): boolean {
  return extent(phase, frame).width >= textWidth(caption(phase), 12) + 14;
}

function flagOf(phase: ReportPhase, frame: Frame): Flag {
  const { x } = extent(phase, frame);
  return { x: x + MIN_BAR_PX / 2, text: caption(phase) };
}

function drawBar(phase: ReportPhase, frame: Frame, top: number): string {
  const { x, width } = extent(phase, frame);
  const bar = rect(x, top, width, BAR_PX, phase.side, tooltip(phase), Math.min(4, width / 2));
  if (!fits(phase, frame)) return bar;
  return bar + text(x + width / 2, top + BAR_PX / 2 + 4, caption(phase), 'in', 'middle');
}

function drawStep(step: ReportPhase, frame: Frame, top: number): string {
  const { x, width } = extent(step, frame);
  const round = Math.min(2, width / 2);
  return rect(x, top, width, STEP_PX, `${step.side} step`, tooltip(step), round);
}

function tooltip(phase: ReportPhase): string {
  return `${phase.name} (${phase.side}): from ${formatMs(phase.start_ms)}, ${formatMs(phase.duration_ms)}`;
}

/** `direction` -1 hangs the flag above the bar, 1 below it. */
function drawFlag(flag: PlacedFlag, edge: number, direction: -1 | 1): string {
  const baseline = direction < 0 ? edge - 5 - flag.row * FLAG_PX : edge + 11 + flag.row * FLAG_PX;
  const tip = direction < 0 ? baseline - 8 : baseline;
  const x = flag.x + (flag.left ? -4 : 4);
  return (
    line(flag.x, edge, flag.x, tip, 'pole') +
    text(x, baseline, flag.text, 'flag', flag.left ? 'end' : 'start')
  );
}

function drawWindow(frame: Frame, bottom: number): string {
  if (frame.window_ms === null) return '';
  const [begin, end] = [frame.time.at(0), frame.time.at(frame.window_ms)];
  const label = `window ${formatMs(frame.window_ms)}`;
  return [
    rect(begin, 24, end - begin, bottom - 24, 'shade'),
    line(begin, 24, begin, bottom, 'edge'),
    line(end, 24, end, bottom, 'edge'),
    text((begin + end) / 2, 17, label, 'window', 'middle'),
  ].join('\n');
}

function drawAxis(frame: Frame, bottom: number): string {
  const marks = ticks(frame.time.from, frame.time.to, frame.wide ? 14 : 6);
  const drawn = marks.map((at) => {
    const x = frame.time.at(at);
    const label = at === 0 ? '0' : `${Number((at / 1000).toFixed(2))} s`;
    return line(x, 24, x, bottom, 'grid') + text(x, bottom + 16, label, 'soft', 'middle');
  });
  const origin = frame.window_ms === null ? 'request' : 'quarantine';
  drawn.push(text(frame.right, bottom + 32, `time since the ${origin}`, 'soft', 'end'));
  drawn.push(text(frame.left, bottom + 32, 'dot: a commit, its height its latency', 'soft'));
  return drawn.join('\n');
}

function drawClient(report: Report, frame: Frame, top: number): Block {
  const head = frame.wide ? 34 : 54;
  const bottom = top + head + CLIENT_PX;
  const inView = report.client.latencies.filter(
    ([start, latency]) => start + latency >= frame.time.from && start <= frame.time.to,
  );
  const slowest = inView.reduce((most, [, latency]) => Math.max(most, latency), 100);
  const decades = 10 ** Math.ceil(Math.log10(slowest));
  const scale = logScale(1, decades, bottom, top + head);
  const parts = [drawDecades(frame, scale, decades)];
  parts.push(
    frame.wide
      ? text(frame.left - 14, top + head - 10, 'Client', 'lane', 'end')
      : text(frame.left, top + 12, 'Client', 'lane'),
  );
  for (const [start, latency] of inView) parts.push(drawCommit(start, latency, frame, scale));
  if (inView.length === 0) {
    const x = (frame.left + frame.right) / 2;
    parts.push(text(x, top + head + CLIENT_PX / 2, 'no commits recorded', 'soft', 'middle'));
  }
  parts.push(labelDecades(frame, scale, decades));
  parts.push(drawGap(report, frame, top + head - 14));
  return { height: bottom - top, svg: parts.join('\n') };
}

function drawDecades(frame: Frame, scale: Scale, decades: number): string {
  const lines: string[] = [];
  for (let at = 1; at <= decades; at *= 10) {
    const y = scale.at(at);
    lines.push(line(frame.left, y, frame.right, y, 'grid'));
  }
  return lines.join('\n');
}

/** Drawn over the dots, which in a narrow picture stand at the same place. */
function labelDecades(frame: Frame, scale: Scale, decades: number): string {
  const lines: string[] = [];
  for (let at = 1; at <= decades; at *= 10) {
    const y = scale.at(at);
    const label = at < 1000 ? `${at} ms` : `${at / 1000} s`;
    lines.push(
      frame.wide
        ? text(frame.left - 14, y + 4, label, 'soft', 'end')
        : text(frame.left + 2, y - 3, label, 'soft halo'),
    );
  }
  return lines.join('\n');
}

/** A line from the question to the answer, and a dot where the answer came. */
function drawCommit(start: number, latency: number, frame: Frame, scale: Scale): string {
  const y = scale.at(latency);
  const begin = Math.max(frame.left, frame.time.at(start));
  const end = frame.time.at(start + latency);
  const dot = end <= frame.right ? `<circle class="dot" cx="${n(end)}" cy="${n(y)}" r="1.8"/>` : '';
  const visible = Math.min(end, frame.right);
  return visible - begin > 2 ? line(begin, y, visible, y, 'wait') + dot : dot;
}

/** The client's downtime, as a measure with its figure, where it is in the recorded commits. */
function drawGap(report: Report, frame: Frame, y: number): string {
  const gap = widestGap(report.client.latencies);
  const downtime = report.downtime_ms.client;
  if (gap === null || downtime === null) return '';
  const [begin, end] = [frame.time.at(gap[0]), frame.time.at(gap[1])];
  const label = `${formatMs(downtime)} without an answer`;
  const middle = (begin + end) / 2;
  const half = textWidth(label, 15) / 2;
  const x = Math.min(Math.max(middle, frame.left + half), frame.right - half);
  return [
    line(begin, y, end, y, 'gap'),
    line(begin, y - 5, begin, y + 5, 'gap'),
    line(end, y - 5, end, y + 5, 'gap'),
    text(x, y - 8, label, 'big', 'middle'),
  ].join('');
}

function rect(
  x: number,
  y: number,
  width: number,
  height: number,
  className: string,
  title = '',
  round = 0,
): string {
  const cut = width > CUT_PX && className !== 'shade' ? ' cut' : '';
  const shape = `x="${n(x)}" y="${n(y)}" width="${n(width)}" height="${n(height)}"`;
  const corner = round > 0 ? ` rx="${n(round)}"` : '';
  const inner = title === '' ? '/>' : `><title>${escapeText(title)}</title></rect>`;
  return `<rect class="${className}${cut}" ${shape}${corner}${inner}`;
}

function line(x1: number, y1: number, x2: number, y2: number, className: string): string {
  return `<line class="${className}" x1="${n(x1)}" y1="${n(y1)}" x2="${n(x2)}" y2="${n(y2)}"/>`;
}

function text(
  x: number,
  y: number,
  content: string,
  className: string,
  anchor: 'start' | 'middle' | 'end' = 'start',
): string {
  const align = anchor === 'start' ? '' : ` text-anchor="${anchor}"`;
  return `<text class="${className}" x="${n(x)}" y="${n(y)}"${align}>${escapeText(content)}</text>`;
}

/** Tenths of a pixel are enough, and keep the file small and the golden file stable. */
function n(value: number): string {
  return String(Math.round(value * 10) / 10);
}
