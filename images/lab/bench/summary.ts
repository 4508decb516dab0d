/** The figures of a bench: what each engine did in each setting, and how that compares. */
import { formatBytes } from '../demo/report/format.ts';
import { median } from '../demo/report/median.ts';
import type { Report } from '../demo/report/schema.ts';
import { ENGINES, type EngineName } from './engines/engine.ts';
import { isOf, keyOf, type Setting, settingOf } from './plan.ts';

const MIB = 2 ** 20;

export interface Summary extends Setting {
  readonly engine: EngineName;
  readonly runs: number;
  /** Runs in which every check holds; the figures below are of these. */
  readonly held: number;
  readonly client_ms: number | null;
  /** With few runs the worst one says more about the host than about the engine. */
  readonly client_second_worst_ms: number | null;
  readonly window_ms: number | null;
  readonly sent_frozen_bytes: number | null;
  readonly sent_bytes: number | null;
  /** The client's rate while memory goes over, as a part of the rate before. */
  readonly precopy_rate: number | null;
  /** Medians, as multiples of the other engine's in the same setting. */
  readonly to_hypervisor: number | null;
  readonly to_full: number | null;
  /** This one's second-worst, as a multiple of the hypervisor's. */
  readonly second_worst_to_hypervisor: number | null;
}

export function secondWorst(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => b - a);
  return sorted[1] ?? sorted[0] ?? null;
}

export function nameOf({ load, ...rest }: Setting): string {
  return `${load}, ${nameMemory(rest)}`;
}

export function nameMemory(setting: Omit<Setting, 'load'>): string {
  const { memory_mib, fill_percent, change_mib_per_s } = setting;
  return [
    formatBytes(memory_mib * MIB),
    ...(fill_percent > 0 ? [`${fill_percent} % held`] : []),
    ...(change_mib_per_s > 0 ? [`${change_mib_per_s} MiB/s changed`] : []),
  ].join(', ');
}

/** In the order of settings, then of engines; what was not run is not there. */
export function summarise(reports: readonly Report[]): Summary[] {
  return settingsIn(reports).flatMap((setting) => {
    const figures = ENGINES.flatMap((engine) => figuresOf(engine, setting, reports) ?? []);
    const of = (name: EngineName) => figures.find(({ engine }) => engine === name);
    return figures.map((own) => ({
      ...own,
      to_hypervisor: ratio(own.client_ms, of('hypervisor')?.client_ms),
      to_full: ratio(own.client_ms, of('full')?.client_ms),
      second_worst_to_hypervisor: ratio(
        own.client_second_worst_ms,
        of('hypervisor')?.client_second_worst_ms,
      ),
    }));
  });
}

type Figures = Omit<Summary, 'to_hypervisor' | 'to_full' | 'second_worst_to_hypervisor'>;

function figuresOf(
  engine: EngineName,
  setting: Setting,
  reports: readonly Report[],
): Figures | null {
  const mine = reports.filter((report) => isOf(report, { engine, ...setting }));
  if (mine.length === 0) return null;
  const good = mine.filter(({ ok }) => ok);
  const known = (pick: (report: Report) => number | null) => good.flatMap((r) => pick(r) ?? []);
  const client = known(({ downtime_ms }) => downtime_ms.client);
  return {
    engine,
    ...setting,
    runs: mine.length,
    held: good.length,
    client_ms: median(client),
    client_second_worst_ms: secondWorst(client),
    window_ms: median(known(({ downtime_ms }) => downtime_ms.window)),
    sent_frozen_bytes: median(known(({ memory }) => memory.sent_frozen_bytes)),
    sent_bytes: median(known(({ memory }) => memory.sent_bytes)),
    precopy_rate: median(known(rateInRounds)),
  };
}

function rateInRounds({ client }: Report): number | null {
  const { before, precopy } = client.commits_per_s;
  return before && precopy !== null ? precopy / before : null;
}

export function settingsIn(reports: readonly Report[]): Setting[] {
  const settings = new Map<string, Setting>();
  for (const setting of reports.map(settingOf)) settings.set(keyOf(setting), setting);
  return [...settings.values()].sort(
    (a, b) =>
      a.load.localeCompare(b.load) ||
      a.memory_mib - b.memory_mib ||
      a.fill_percent - b.fill_percent ||
      a.change_mib_per_s - b.change_mib_per_s,
  );
}

function ratio(own: number | null, other: number | null | undefined): number | null {
  return own === null || !other ? null : own / other;
}
