import type { Finding, Inventory } from '../../agent/source/api/schemas.ts';
import type { Facts } from '../../agent/source/facts.ts';
import { PmsmError } from '../../agent/wire/errors.ts';
import type { Machine } from '../config.ts';
import { compareMachines } from './preflight.ts';
import type { Site } from './site.ts';

export interface Inspection {
  inventory: Inventory;
  target_facts: Facts | undefined;
  findings: Finding[];
}

/** Looks at both machines, or without a target at the source alone, and changes neither. */
export async function inspect(site: Site, source: Machine, target?: Machine): Promise<Inspection> {
  const target_facts = target ? requireStandby(site, target) : undefined;
  const inventory = await site.agents.inventory(source);
  const own = await site.agents.preflight(source);
  const compared = target_facts ? compareMachines(inventory.facts, target_facts) : [];
  const identity = inventory.machine.name === source.name ? [] : [otherName(source, inventory)];
  return { inventory, target_facts, findings: [...identity, ...compared, ...own] };
}

function requireStandby(site: Site, target: Machine): Facts {
  const standby = site.registry.standby(target.name);
  if (!standby) throw new PmsmError('target-not-standby', `${target.name} is not connected`);
  if (!standby.facts) throw new PmsmError('target-not-standby', `${target.name} sent no facts yet`);
  if (!standby.waiting) throw new PmsmError('target-not-standby', `${target.name} is not free yet`);
  return standby.facts;
}

function otherName(source: Machine, { machine }: Inventory): Finding {
  return {
    code: 'source-unreachable',
    severity: 'warn',
    found: `the machine at ${source.address} calls itself ${machine.name}, not ${source.name}`,
    why: 'The configuration names machines by their migration addresses.',
    remedy: 'Correct the name in the configuration or on the kernel command line.',
  };
}
