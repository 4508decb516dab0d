import { textOf } from '../surroundings.ts';
import { ok, type Probe, refuse } from './finding.ts';

const WHY = 'After a panic a crash kernel mounts the disk for its dump, whoever owns that by then.';

/** A kernel that is loaded for the case of a crash (kdump). */
export const crash: Probe = async (surroundings) => {
  const loaded = (await textOf(surroundings, 'sys/kernel/kexec_crash_loaded'))?.trim() === '1';
  if (!loaded) return ok('crash-kernel-loaded', 'no crash kernel is loaded', WHY);
  return [refuse('crash-kernel-loaded', '/sys/kernel/kexec_crash_loaded says 1', WHY)];
};
