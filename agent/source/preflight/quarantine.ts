import { ok, type Probe, refuse } from './finding.ts';

const WHY = 'While two copies exist, all traffic but the migration flow is dropped at the devices.';

/** Whether the kernel can drop traffic at its devices: the helper has tried. */
export const quarantine: Probe = async (_, facts) => {
  const tried = facts?.quarantine;
  if (tried?.available) return ok('quarantine-unavailable', 'the kernel takes its rules', WHY);
  const reason = tried ? `the kernel does not take its rules: ${tried.reason}` : 'nobody has tried';
  return [refuse('quarantine-unavailable', reason, WHY)];
};
