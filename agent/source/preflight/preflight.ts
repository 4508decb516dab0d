import { toPmsmError } from '../../wire/errors.ts';
import type { Finding, Preflight } from '../api/schemas.ts';
import type { Facts } from '../facts.ts';
import { readFacts, runs, type Surroundings } from '../surroundings.ts';
import { crash } from './crash.ts';
import { filesystems } from './filesystems.ts';
import { ok, type Probe, refuse } from './finding.ts';
import { guests } from './guests.ts';
import { hibernation } from './hibernation.ts';
import { memory } from './memory.ts';
import { networkDisks } from './network-disks.ts';
import { quarantine } from './quarantine.ts';
import { rawWriters } from './raw-writers.ts';
import { remoteMounts } from './remote-mounts.ts';
import { tasks } from './tasks.ts';
import { watchdog } from './watchdog.ts';

const PROBES: readonly Probe[] = [
  hibernation,
  memory,
  tasks,
  guests,
  remoteMounts,
  networkDisks,
  filesystems,
  rawWriters,
  quarantine,
  crash,
  watchdog,
];

/** A frozen machine cannot load modules: what the window needs is loaded now. */
const MODULES = ['nf_tables', 'nft_compat', 'inet_diag', 'tcp_diag', 'macvlan'] as const;

/** Asks this machine everything that could keep it from moving. */
export async function preflight(surroundings: Surroundings): Promise<Preflight> {
  let facts: Facts | undefined;
  const helper: Finding[] = [];
  const why = 'The frozen phase runs without the agent.';
  await runs('modprobe', ['--quiet', '--all', ...MODULES]);
  try {
    facts = await readFacts(surroundings, true);
    helper.push(...ok('helper-missing', surroundings.helper, why));
  } catch (error) {
    helper.push(refuse('helper-missing', toPmsmError(error).detail, why));
  }
  const findings = await Promise.all(PROBES.map((probe) => probe(surroundings, facts)));
  return {
    findings: [...helper, ...findings.flat()],
    image_format: facts?.kernel.image_format ?? 0,
  };
}
