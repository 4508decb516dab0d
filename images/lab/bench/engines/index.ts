/** All engines by name, in the order of the table. */
import { cold } from './cold.ts';
import type { BenchEngine, EngineName } from './engine.ts';
import { hypervisor } from './hypervisor.ts';
import { delta, full } from './pmsm.ts';
import { swap } from './swap.ts';

export const engines: Readonly<Record<EngineName, BenchEngine>> = {
  cold,
  swap,
  full,
  delta,
  hypervisor,
};
