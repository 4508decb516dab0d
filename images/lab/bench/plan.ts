/**
 * What a bench runs, in which order: interleaved, so that a host that is slow for a while is slow for all
 * engines, and in turn first, so that none always follows the same other one.
 */
import { PmsmError } from '../../../agent/wire/errors.ts';
import type { LabOptions } from '../../options.ts';
import type { Report } from '../demo/report/schema.ts';
import type { EngineName } from './engines/engine.ts';

/** What the machine is, and what it has to do while it moves. */
export interface Setting {
  readonly memory_mib: number;
  readonly load: 'light' | 'oltp';
  /** Part of the memory that a process holds beside everything else. */
  readonly fill_percent: number;
  /** What that process writes anew. */
  readonly change_mib_per_s: number;
}

export interface Case extends Setting {
  readonly engine: EngineName;
  /** From 1. */
  readonly run: number;
}

export interface Plan {
  readonly engines: readonly EngineName[];
  readonly runs: number;
  readonly memory_mib: readonly number[];
  readonly loads: readonly Setting['load'][];
  readonly fill_percent: readonly number[];
  readonly change_mib_per_s: readonly number[];
}

type Axes = Pick<Plan, 'memory_mib' | 'loads' | 'fill_percent' | 'change_mib_per_s'>;

export function settingsOf(axes: Axes): Setting[] {
  return axes.memory_mib.flatMap((memory_mib) =>
    axes.loads.flatMap((load) =>
      axes.fill_percent.flatMap((fill_percent) =>
        axes.change_mib_per_s.map((change_mib_per_s) => ({
          memory_mib,
          load,
          fill_percent,
          change_mib_per_s,
        })),
      ),
    ),
  );
}

/** Two of the same are the same. */
export function keyOf({ memory_mib, load, fill_percent, change_mib_per_s }: Setting): string {
  return [load, memory_mib, fill_percent, change_mib_per_s].join(' ');
}

export function settingOf({ environment }: Report): Setting {
  const { memory_mib, fill_percent, change_mib_per_s } = environment;
  const load = environment.load === 'oltp' ? 'oltp' : 'light';
  return { memory_mib, load, fill_percent, change_mib_per_s };
}

export function casesOf(plan: Plan): Case[] {
  const cases: Case[] = [];
  for (let run = 1; run <= plan.runs; run += 1) {
    for (const setting of settingsOf(plan)) {
      for (let i = 0; i < plan.engines.length; i += 1) {
        const engine = plan.engines[(i + run - 1) % plan.engines.length] as EngineName;
        cases.push({ ...setting, engine, run });
      }
    }
  }
  return cases;
}

/** Whether a report is of such a case; which run it was does not matter. */
export function isOf(report: Report, { engine, ...setting }: Omit<Case, 'run'>): boolean {
  return report.engine === engine && keyOf(settingOf(report)) === keyOf(setting);
}

/** What is left to do, if so much has been done: a run that did not hold is a result, too. */
export function remaining(plan: Plan, done: readonly Report[]): Case[] {
  return casesOf(plan).filter(
    (wanted) => done.filter((report) => isOf(report, wanted)).length < wanted.run,
  );
}

/** What a bench goes on with must have been made on the same machine, or the figures would be of two. */
export function requireSameMachine(
  done: readonly Report[],
  { nic, disk, cpus }: LabOptions,
  emulator: string,
): void {
  for (const { environment } of done) {
    const wanted = { nic, disk, cpus, emulator };
    const differs = (Object.keys(wanted) as (keyof typeof wanted)[]).filter(
      (name) => environment[name] !== wanted[name],
    );
    if (differs.length === 0) continue;
    const what = differs.map((name) => `${name}: ${environment[name]}, not ${wanted[name]}`);
    throw new PmsmError(
      'bad-request',
      `cannot go on with another machine's runs (${what.join(', ')})`,
    );
  }
}
