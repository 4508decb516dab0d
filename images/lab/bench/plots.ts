/** The pictures of a bench's page, drawn by Observable Plot into SVG that needs no script. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { STEPS } from '../../../agent/wire/phases.gen.ts';
import { escapeText } from '../demo/report/format.ts';
import { median } from '../demo/report/median.ts';
import type { Report } from '../demo/report/schema.ts';
import { CHANGING_MIB } from '../guest/ballast.ts';
import { ENGINES, type EngineName } from './engines/engine.ts';
import { isOf } from './plan.ts';
import { nameOf, type Summary, settingsIn, summarise } from './summary.ts';

const STEP_NAMES: ReadonlySet<string> = new Set(STEPS.map((step) => step.name));
const WIDTH = 1120;
const ROW_PX = 34;
/** An axis has its name above everything. */
const LABEL_PX = 18;
const LEGEND_ROW_PX = 20;
const LEGEND_SWATCH_PX = 34;
/** A letter is about as wide. */
const LETTER_PX = 7;
/** Of phases that follow each other, so that neighbours differ. */
const PHASE_COLORS = [
  '#4269d0',
  '#c98a00',
  '#d6423c',
  '#3b8f86',
  '#2f8f45',
  '#8a5cc2',
  '#b65fae',
  '#7a5c3e',
];
const MIB = 2 ** 20;

/** Told apart without colours, too: every picture names its engines. */
const COLORS: Readonly<Record<EngineName, string>> = {
  cold: '#7d8796',
  swap: '#a07a3f',
  full: '#8146e0',
  delta: '#d9770a',
  hypervisor: '#2f6fed',
};

const color = { domain: [...ENGINES], range: ENGINES.map((name) => COLORS[name]) };

/** A picture with its title; null if there is nothing to be seen. */
export interface Picture {
  readonly title: string;
  readonly note: string;
  /** One element that needs nothing around it: it goes into a page, and into a file of its own. */
  readonly svg: string;
}

interface Entry {
  readonly name: string;
  readonly color: string;
}
type Legend = readonly Entry[];
type Placed = Entry & { readonly x: number };

function draw(options: Plot.PlotOptions, legend: Legend = []): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const style = { background: 'none', fontSize: '12px', overflow: 'visible' };
  const rows = rowsOf(legend);
  const marginTop = LABEL_PX + 12 + rows.length * LEGEND_ROW_PX;
  const height = (options.height ?? 0) + rows.length * LEGEND_ROW_PX;
  const plot = { width: WIDTH, style, marginTop, ...options, height };
  const drawn = Plot.plot({ ...plot, document: document as never });
  drawn.insertAdjacentHTML('beforeend', rows.map(legendRow).join(''));
  return drawn.outerHTML;
}

/** Plot's own legends are HTML beside the picture, which a file of its own cannot have. */
function rowsOf(legend: Legend): Placed[][] {
  const rows: Placed[][] = [];
  let x = WIDTH;
  for (const item of legend) {
    const width = LEGEND_SWATCH_PX + item.name.length * LETTER_PX;
    if (x + width > WIDTH) {
      rows.push([]);
      x = 0;
    }
    rows.at(-1)?.push({ ...item, x });
    x += width;
  }
  return rows;
}

function legendRow(row: readonly Placed[], index: number): string {
  const y = LABEL_PX + index * LEGEND_ROW_PX;
  const items = row.map(
    ({ x, name, color: fill }) =>
      `<rect x="${x}" y="${y}" width="12" height="12" fill="${fill}"></rect>` +
      `<text x="${x + 17}" y="${y + 10}" fill="currentColor">${escapeText(name)}</text>`,
  );
  return `<g aria-label="legend" font-size="12" text-anchor="start">${items.join('')}</g>`;
}

/** Room for names beside a picture. */
const marginFor = (names: readonly string[]): number =>
  24 + LETTER_PX * Math.max(...names.map(({ length }) => length));

const engineLegend = (names: Iterable<string>): Legend => {
  const present = new Set(names);
  return ENGINES.filter((name) => present.has(name)).map((name) => ({ name, color: COLORS[name] }));
};

const good = (reports: readonly Report[]): Report[] => reports.filter(({ ok }) => ok);

export function picturesOf(reports: readonly Report[]): Picture[] {
  return [downtimes, windows, throughputs, byMemory, byRate, byChange].flatMap(
    (picture) => picture(good(reports)) ?? [],
  );
}

function downtimes(reports: readonly Report[]): Picture | null {
  const dots = settingsIn(reports).flatMap((setting) =>
    ENGINES.flatMap((engine) =>
      reports
        .filter((report) => isOf(report, { engine, ...setting }))
        .flatMap(({ downtime_ms }) =>
          downtime_ms.client === null
            ? []
            : { engine, setting: nameOf(setting), ms: downtime_ms.client },
        ),
    ),
  );
  if (dots.length === 0) return null;
  const settings = new Set(dots.map(({ setting }) => setting)).size;
  const present = ENGINES.filter((name) => dots.some(({ engine }) => engine === name));
  return {
    title: 'Downtime by engine',
    note: 'Each run as the client saw it, on a logarithmic axis; the line is the median.',
    svg: draw({
      height: 60 + settings * (present.length * ROW_PX + 20),
      marginLeft: 90,
      marginRight: marginFor(dots.map(({ setting }) => setting)),
      x: { type: 'log', grid: true, label: 'client waits, ms', tickFormat: '~s' },
      y: { domain: present, label: null },
      fy: { label: null },
      color,
      marks: [
        Plot.dot(dots, { x: 'ms', y: 'engine', fy: 'setting', fill: 'engine', fillOpacity: 0.35 }),
        Plot.tickX(
          dots,
          Plot.groupY(
            { x: 'median' },
            { x: 'ms', y: 'engine', fy: 'setting', stroke: 'engine', strokeWidth: 3 },
          ),
        ),
      ],
    }),
  };
}

interface Piece {
  readonly engine: string;
  readonly phase: string;
  readonly from: number;
  readonly to: number;
}

/** The phases of the window one after the other, each with its median: these need not add up to that of the whole. */
function windows(reports: readonly Report[]): Picture | null {
  const pieces = settingsIn(reports).flatMap((setting) =>
    ENGINES.flatMap((engine) => {
      const mine = reports.filter((report) => isOf(report, { engine, ...setting }));
      return mine.some(({ downtime_ms }) => downtime_ms.window !== null)
        ? piecesOf(`${engine}, ${nameOf(setting)}`, mine)
        : [];
    }),
  );
  if (pieces.length === 0) return null;
  const bars = new Set(pieces.map(({ engine }) => engine)).size;
  const phases = [...new Set(pieces.map(({ phase }) => phase))];
  const range = phases.map((_, i) => PHASE_COLORS[i % PHASE_COLORS.length] ?? '');
  const longest = Math.max(...pieces.map(({ to }) => to));
  const legend = phases.map((name, i) => ({ name, color: range[i] ?? '' }));
  return {
    title: 'What the window is made of',
    note: 'Median of each phase. The target loads while the source sends, so only what follows each other is drawn.',
    svg: draw(
      {
        height: 70 + bars * ROW_PX,
        marginLeft: marginFor(pieces.map(({ engine }) => engine)),
        x: { grid: true, label: 'from the quarantine, ms' },
        y: { label: null },
        color: { domain: phases, range },
        marks: [
          Plot.barX(pieces, { x1: 'from', x2: 'to', y: 'engine', fill: 'phase', inset: 0.5 }),
          Plot.text(
            pieces.filter(({ from, to }) => to - from > longest / 12),
            { x: (d: Piece) => (d.from + d.to) / 2, y: 'engine', text: 'phase', fill: 'white' },
          ),
        ],
      },
      legend,
    ),
  };
}

function piecesOf(engine: string, reports: readonly Report[]): Piece[] {
  const first = reports[0];
  const names = (first?.phases ?? [])
    .filter(({ name, start_ms }) => start_ms >= 0 && !STEP_NAMES.has(name))
    .map(({ name }) => name);
  let at = 0;
  return names.flatMap((phase) => {
    const durations = reports.flatMap(
      ({ phases }) => phases.find(({ name }) => name === phase)?.duration_ms ?? [],
    );
    const length = median(durations) ?? 0;
    at += length;
    return length > 0 ? [{ engine, phase, from: at - length, to: at }] : [];
  });
}

/** Of the run with the median downtime. */
function throughputs(reports: readonly Report[]): Picture | null {
  const [setting] = settingsIn(reports);
  if (setting === undefined) return null;
  const lines = ENGINES.flatMap((engine) => {
    const mine = reports
      .filter((report) => isOf(report, { engine, ...setting }))
      .sort((a, b) => (a.downtime_ms.client ?? 0) - (b.downtime_ms.client ?? 0));
    const report = mine[mine.length >> 1];
    const rate = report?.client.throughput;
    return (rate?.commits ?? []).map((commits, index) => ({
      engine,
      s: ((rate?.from_ms ?? 0) + index * (rate?.step_ms ?? 0)) / 1000,
      rate: (commits / (rate?.step_ms ?? 1)) * 1000,
    }));
  });
  if (lines.length === 0) return null;
  const present = ENGINES.filter((name) => lines.some(({ engine }) => engine === name));
  return {
    title: "The client's throughput",
    note: `Commits a second around the run with the median downtime (${nameOf(setting)}); 0 is when the machine stops.`,
    svg: draw({
      height: 60 + present.length * 90,
      marginRight: 90,
      x: { grid: true, label: 'from the stop, s' },
      y: { label: 'commits a second', grid: true, ticks: 3 },
      fy: { domain: present, label: null },
      color,
      marks: [
        Plot.areaY(lines, {
          x: 's',
          y: 'rate',
          fy: 'engine',
          fill: 'engine',
          fillOpacity: 0.3,
          curve: 'step',
        }),
        Plot.lineY(lines, { x: 's', y: 'rate', fy: 'engine', stroke: 'engine', curve: 'step' }),
        Plot.ruleX([0], { strokeDasharray: '3 3' }),
      ],
    }),
  };
}

const countValues = (points: readonly Summary[], axis: 'memory_mib' | 'change_mib_per_s'): number =>
  new Set(points.map((point) => point[axis])).size;

function byMemory(reports: readonly Report[]): Picture | null {
  const points = summarise(reports).filter(
    ({ client_ms, change_mib_per_s }) => client_ms !== null && change_mib_per_s === 0,
  );
  if (countValues(points, 'memory_mib') < 2) return null;
  const lines = points.map((point) => ({ ...point, held: `${point.fill_percent} %` }));
  const line = (d: (typeof lines)[number]) => `${d.engine} ${d.load} ${d.held}`;
  const sizes = [...new Set(lines.map(({ memory_mib }) => memory_mib))];
  return {
    title: 'Downtime against memory',
    note: 'Medians for the client. A process holds the given part of memory; with 0 % the same is in use.',
    svg: draw(
      {
        height: 320,
        marginRight: 90,
        x: { type: 'log', label: 'memory of the machine, MiB', ticks: sizes, tickFormat: 'd' },
        y: { type: 'log', grid: true, label: 'client waits, ms', tickFormat: '~s' },
        color,
        marks: [
          Plot.line(lines, { x: 'memory_mib', y: 'client_ms', stroke: 'engine', z: line }),
          Plot.dot(lines, { x: 'memory_mib', y: 'client_ms', stroke: 'engine', symbol: 'held' }),
          Plot.text(
            lines,
            Plot.selectLast({
              x: 'memory_mib',
              y: 'client_ms',
              z: line,
              text: (d: (typeof lines)[number]) => `${d.held} held`,
              textAnchor: 'start',
              dx: 10,
            }),
          ),
        ],
      },
      engineLegend(lines.map(({ engine }) => engine)),
    ),
  };
}

function byRate(reports: readonly Report[]): Picture | null {
  const points = summarise(reports).filter(({ client_ms }) => client_ms !== null);
  if (countValues(points, 'change_mib_per_s') < 2) return null;
  const line = (d: Summary) => `${d.engine} ${d.load} ${d.memory_mib} ${d.fill_percent}`;
  return {
    title: 'Downtime against change rate',
    note: `Medians for the client. A process writes so much to whole pages of ${CHANGING_MIB} MiB in turn.`,
    svg: draw(
      {
        height: 320,
        x: { grid: true, label: 'memory that changes, MiB/s' },
        y: { type: 'log', grid: true, label: 'client waits, ms', tickFormat: '~s' },
        color,
        marks: [
          Plot.line(points, { x: 'change_mib_per_s', y: 'client_ms', stroke: 'engine', z: line }),
          Plot.dot(points, { x: 'change_mib_per_s', y: 'client_ms', fill: 'engine' }),
        ],
      },
      engineLegend(points.map(({ engine }) => engine)),
    ),
  };
}

/** What changed is what is sent in the window, where memory goes ahead. */
function byChange(reports: readonly Report[]): Picture | null {
  const points = reports.flatMap(({ engine, memory, downtime_ms, environment }) =>
    memory.sent_frozen_bytes === null || downtime_ms.window === null
      ? []
      : {
          engine,
          mib: memory.sent_frozen_bytes / MIB,
          ms: downtime_ms.window,
          load: environment.load,
        },
  );
  if (points.length < 2) return null;
  const loads = points.some(({ load }) => load === 'oltp') ? '; squares: oltp' : '';
  return {
    title: 'The window against what changed',
    note: `Each run: what was sent while the machine stood still, and for how long it did${loads}.`,
    svg: draw(
      {
        height: 320,
        x: { type: 'log', grid: true, label: 'sent in the window, MiB', tickFormat: '~s' },
        y: { type: 'log', grid: true, label: 'window, ms', tickFormat: '~s' },
        color,
        symbol: { domain: ['light', 'oltp'], range: ['circle', 'square'] },
        marks: [Plot.dot(points, { x: 'mib', y: 'ms', stroke: 'engine', symbol: 'load' })],
      },
      engineLegend(points.map(({ engine }) => engine)),
    ),
  };
}
