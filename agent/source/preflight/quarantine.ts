import { namesIn, runs, type Surroundings, textOf } from '../surroundings.ts';
import { ok, type Probe, refuse } from './finding.ts';

const WHY = 'While two copies exist, all traffic but the migration flow is dropped at the devices.';
/** A frozen machine cannot load modules: what the window needs is loaded now. */
const MODULES = ['nf_tables', 'nft_compat', 'inet_diag', 'tcp_diag', 'macvlan'] as const;
const NEEDED = 'nf_tables';

/** Whether the kernel can drop traffic at its devices. */
export const quarantine: Probe = async (surroundings, facts) => {
  await Promise.all(MODULES.map((name) => runs('modprobe', ['--quiet', name])));
  const said = (facts as { quarantine?: { available?: boolean } } | undefined)?.quarantine;
  const there = said?.available ?? (await hasNfTables(surroundings));
  if (there) return ok('quarantine-unavailable', 'nf_tables is there', WHY);
  return [refuse('quarantine-unavailable', 'the kernel has no nf_tables', WHY)];
};

async function hasNfTables(surroundings: Surroundings): Promise<boolean> {
  if ((await namesIn(surroundings, 'sys/module')).includes(NEEDED)) return true;
  const release = ((await textOf(surroundings, 'proc/sys/kernel/osrelease')) ?? '').trim();
  const builtin = await textOf(surroundings, `lib/modules/${release}/modules.builtin`);
  if (builtin?.includes(`/${NEEDED}.ko`)) return true;
  // Built in without a list of modules: its cache of rule sets shows in a kernel of our own.
  const symbols = await textOf(surroundings, 'proc/kallsyms');
  return symbols?.includes(' nf_tables_newtable') ?? false;
}
