import type { Finding, Inventory } from '../../agent/source/api/schemas.ts';
import type { Facts } from '../../agent/source/facts.ts';
import { PmsmError } from '../../agent/wire/errors.ts';
import type { Machine } from '../config.ts';
import type { Engine, EngineChoice } from '../store/record.ts';
import { chooseEngine, compareMachines } from './preflight.ts';
import type { Site } from './site.ts';

export interface Inspection {
  inventory: Inventory;
  target_facts: Facts | undefined;
  findings: Finding[];
  /** Undefined without a target. */
  engine: Engine | undefined;
}

/** Looks at both machines, or without a target at the source alone, and changes neither. */
export async function inspect(
  site: Site,
  source: Machine,
  target: Machine | undefined,
  choice: EngineChoice,
): Promise<Inspection> {
  const target_facts = target ? requireStandby(site, target) : undefined;
  const inventory = await site.agents.inventory(source);
  const own = await site.agents.preflight(source);
  inventory.facts.kernel.image_format = own.image_format;
  const engine = target_facts && chooseEngine(choice, inventory.facts, target_facts);
  const compared =
    target_facts && engine ? compareMachines(inventory.facts, target_facts, engine) : [];
  const identity = inventory.machine.name === source.name ? [] : [otherName(source, inventory)];
  const findings = [
    ...identity,
    ...compared,
    ...own.findings.filter((one) => matters(one, engine)),
  ];
  return { inventory, target_facts, findings, engine };
}

/** Only an image that holds everything needs as much free memory as there is in use. */
function matters({ code }: Finding, engine: Engine | undefined): boolean {
  return engine !== 'delta' || code !== 'memory-too-full';
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
