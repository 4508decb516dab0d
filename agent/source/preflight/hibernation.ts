import { namesIn, textOf } from '../surroundings.ts';
import { ok, type Probe, refuse } from './finding.ts';

const WHY = 'A move is a hibernation whose image goes over the network.';

/** Everything by which a kernel refuses to hibernate before it has begun. */
export const hibernation: Probe = async (surroundings, facts) => {
  const found = (
    await Promise.all([
      powerDisk(surroundings),
      lockdown(surroundings),
      commandLine(surroundings),
      device(surroundings),
    ])
  ).filter((text) => text !== undefined);
  if (facts?.hibernation?.available === false) {
    found.push(facts.hibernation.reason || 'the helper says that it is not available');
  }
  if (found.length === 0) return ok('hibernation-unavailable', 'available', WHY);
  return [refuse('hibernation-unavailable', found.join('; '), WHY)];
};

type Look = (surroundings: Parameters<Probe>[0]) => Promise<string | undefined>;

/** Also where secret memory and a kernel without the support show. */
const powerDisk: Look = async (surroundings) => {
  const text = await textOf(surroundings, 'sys/power/disk');
  if (text === undefined) return 'the kernel has no /sys/power/disk';
  return text.includes('[disabled]') ? '/sys/power/disk says disabled' : undefined;
};

const lockdown: Look = async (surroundings) => {
  const text = await textOf(surroundings, 'sys/kernel/security/lockdown');
  const level = /\[(\w+)\]/.exec(text ?? '')?.[1] ?? 'none';
  return level === 'none' ? undefined : `kernel lockdown is in ${level} mode`;
};

const commandLine: Look = async (surroundings) => {
  const words = ((await textOf(surroundings, 'proc/cmdline')) ?? '').trim().split(/\s+/);
  const word = words.find((one) => one === 'nohibernate' || one === 'hibernate=no');
  return word && `${word} is on the kernel command line`;
};

const device: Look = async (surroundings) => {
  const names = await namesIn(surroundings, 'dev');
  return names.includes('snapshot') ? undefined : '/dev/snapshot does not exist';
};
