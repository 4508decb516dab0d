/**
 * What a bench runs, in which order: interleaved, so that a host that is slow for a while is slow for all
 * engines, and in turn first, so that none always follows the same other one.
 */
import type { Report } from '../demo/report/schema.ts';
import type { EngineName } from './engines/engine.ts';

export interface Setting {
  readonly memory_mib: number;
  readonly load: 'light' | 'oltp';
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
}

export function settingsOf({ memory_mib, loads }: Plan): Setting[] {
  return memory_mib.flatMap((size) => loads.map((load) => ({ memory_mib: size, load })));
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
export function isOf(report: Report, { engine, memory_mib, load }: Omit<Case, 'run'>): boolean {
  const { environment } = report;
  return (
    report.engine === engine && environment.memory_mib === memory_mib && environment.load === load
  );
}

/** What is left to do, if so much has been done: a run that did not hold is a result, too. */
export function remaining(plan: Plan, done: readonly Report[]): Case[] {
  return casesOf(plan).filter(
    (wanted) => done.filter((report) => isOf(report, wanted)).length < wanted.run,
  );
}
