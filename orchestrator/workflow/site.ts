import type { Logger } from 'pino';
import { PHASE_BY_NAME, type PhaseName } from '../../agent/wire/phases.gen.ts';
import type { AgentClient } from '../agent-client.ts';
import type { Config, Machine } from '../config.ts';
import type { Registry } from '../control/registry.ts';
import type { FenceResult } from '../fence/fence.ts';
import type { Store } from '../store/store.ts';
import type { EventLog } from './events.ts';

/** How long to wait for a word that ends an attempt but decides nothing. */
export interface Patience {
  /** Beyond the stall limit, in which a source thaws by itself. */
  thawed_ms: number;
  waiting_ms: number;
  /** For the helper's process to end once its machine runs again. */
  helper_ends_ms: number;
  /** Between two looks after what was recorded without a word of those concerned. */
  look_ms: number;
}

export const PATIENCE: Patience = {
  thawed_ms: 3000,
  waiting_ms: 5000,
  helper_ends_ms: 4000,
  look_ms: 5000,
};

/** All that a phase may use. */
export interface Site {
  config: Config;
  store: Store;
  events: EventLog;
  agents: AgentClient;
  registry: Registry;
  fence: (machine: Machine) => Promise<FenceResult>;
  log: Logger;
  patience: Patience;
  /** Other limits than those of the phase table. */
  timeouts_ms: Partial<Record<PhaseName, number>>;
}

export function timeoutOf(site: Site, phase: PhaseName): number {
  return site.timeouts_ms[phase] ?? PHASE_BY_NAME[phase].timeout_ms;
}
