import { ok, type Probe, refuse, warn } from './finding.ts';

const WHY = 'The kernel copies all memory in use into free memory before it sends any of it.';
/**
 * The figure is an estimate from above: a lab host with an estimate of 514 MiB had 397 MiB saved. So
 * it refuses only what cannot fit for certain; in between the kernel decides before any device is
 * stopped, and the source thaws at once if it says no.
 */
const REFUSE_PERMILLE = 560;
const WARN_PERMILLE = 430;
const MIB = 1024 * 1024;

/** Memory that cannot be dropped must fit twice. */
export const memory: Probe = async (_, facts) => {
  if (!facts) return [];
  const { total_bytes, used_bytes, available_bytes } = facts.memory;
  const used = used_bytes ?? total_bytes - (available_bytes ?? total_bytes);
  const found = `${Math.round(used / MIB)} of ${Math.round(total_bytes / MIB)} MiB are in use`;
  const permille = (used * 1000) / total_bytes;
  if (permille > REFUSE_PERMILLE) return [refuse('memory-too-full', found, WHY)];
  if (permille > WARN_PERMILLE) return [warn('memory-too-full', found, WHY)];
  return ok('memory-too-full', found, WHY);
};
