/**
 * Compares the two machines. The kernel that restores an image checks some of this too, but only
 * after the source has been frozen; here a difference costs nothing and is named.
 */
import type { Finding } from '../../agent/source/api/schemas.ts';
import type { Facts } from '../../agent/source/facts.ts';
import type { ErrorCode } from '../../agent/wire/errors.ts';
import { ERRORS } from '../../agent/wire/errors.ts';
import type { Engine, EngineChoice } from '../store/record.ts';

/** Differences that are named one by one before the rest is only counted. */
const NAMED_MAX = 4;

type Comparison = (source: Facts, target: Facts, engine: Engine) => Finding;

const COMPARISONS: readonly Comparison[] = [
  compareKernel,
  compareMemorySize,
  compareMemoryMap,
  compareCpu,
  compareDevices,
  judgeStandby,
];

export function compareMachines(source: Facts, target: Facts, engine: Engine): Finding[] {
  return COMPARISONS.map((compare) => compare(source, target, engine));
}

/** Delta where both kernels can, unless something else was asked for. */
export function chooseEngine(choice: EngineChoice, source: Facts, target: Facts): Engine {
  if (choice !== 'auto') return choice;
  const format = formatOf(source);
  return format > 0 && format === formatOf(target) ? 'delta' : 'full';
}

function formatOf({ kernel }: Facts): number {
  return kernel.image_format ?? 0;
}

export function firstRefusal(findings: readonly Finding[]): Finding | undefined {
  return findings.find(({ severity }) => severity === 'refuse');
}

function judge(code: ErrorCode, why: string, differences: string[], same: string): Finding {
  const { title, remedy } = ERRORS[code];
  if (differences.length === 0) return { code, severity: 'ok', found: same, why, remedy: '' };
  const named = differences.slice(0, NAMED_MAX).join('; ');
  const more = differences.length - NAMED_MAX;
  const found = more > 0 ? `${named}; and ${more} more` : named;
  return { code, severity: 'refuse', found, why: `${title} ${why}`, remedy };
}

/** Lines like `total memory: source 2 GiB, target 1 GiB`, for what is not the same. */
function unequal(rows: Array<[what: string, source: unknown, target: unknown]>): string[] {
  return rows
    .filter(([, source, target]) => source !== target)
    .map(([what, source, target]) => `${what}: source ${show(source)}, target ${show(target)}`);
}

function show(value: unknown): string {
  return value === undefined || value === null ? 'not known' : String(value);
}

/**
 * An image of the engine delta may be completed by another build: what both must agree upon has a
 * format number, and the rest of the kernel comes with the image.
 */
function compareKernel(source: Facts, target: Facts, engine: Engine): Finding {
  if (engine === 'delta') return compareFormats(source, target);
  const differences = unequal([
    ['release', source.kernel.release, target.kernel.release],
    ['build', source.kernel.version, target.kernel.version],
  ]);
  const why = 'The image continues inside the kernel that the standby has booted.';
  return judge('kernel-mismatch', why, differences, source.kernel.release);
}

function compareFormats(source: Facts, target: Facts): Finding {
  const formats = [formatOf(source), formatOf(target)] as const;
  const found = `source ${formatText(source)}, target ${formatText(target)}`;
  const why = "The target's kernel completes the image with what it was sent before.";
  if (formats.includes(0)) return judge('engine-unavailable', why, [found], '');
  const finding = judge('format-mismatch', why, formats[0] === formats[1] ? [] : [found], found);
  const sameBuild = source.kernel.version === target.kernel.version;
  if (finding.severity === 'refuse' || sameBuild) return finding;
  const remedy =
    'Two builds have been tried in the lab, not these: move a test machine between them first.';
  return { ...finding, severity: 'warn', remedy };
}

function formatText({ kernel }: Facts): string {
  const format = kernel.image_format ?? 0;
  return format > 0 ? `${kernel.release} (image format ${format})` : `${kernel.release} (none)`;
}

function compareMemorySize(source: Facts, target: Facts, engine: Engine): Finding {
  const differences = unequal([
    ['total bytes', source.memory.total_bytes, target.memory.total_bytes],
    ['present pages', source.memory.present_pages, target.memory.present_pages],
  ]);
  const why = 'Every page of the image goes back to its own frame.';
  const kept_bytes = target.memory.image_ram_bytes ?? 0;
  if (engine === 'full' && kept_bytes > 0) {
    const found = `its kernel keeps ${kept_bytes} bytes for the engine delta (hibernate_loader=)`;
    return judge('engine-unavailable', why, [found], '');
  }
  const same = `${source.memory.total_bytes} bytes on both`;
  return judge('memory-size-mismatch', why, differences, same);
}

function compareMemoryMap(source: Facts, target: Facts): Finding {
  const why = "The image must not overwrite what the target's firmware uses.";
  if (!source.memory.map_digest || !target.memory.map_digest) {
    const found = 'the kernel does not show the map, so it cannot be compared';
    const remedy =
      'Use a kernel with CONFIG_FIRMWARE_MEMMAP; else the standby may reject the image.';
    return { code: 'memory-map-mismatch', severity: 'warn', found, why, remedy };
  }
  const differences = unequal([['digest', source.memory.map_digest, target.memory.map_digest]]);
  const where = differences.length > 0 ? mapDifferences(source.memory.map, target.memory.map) : [];
  const found = [...differences, ...where];
  return judge('memory-map-mismatch', why, found, `digest ${source.memory.map_digest} on both`);
}

function mapDifferences(source: unknown[], target: unknown[]): string[] {
  const ours = new Set(source.map((entry) => JSON.stringify(entry)));
  const theirs = new Set(target.map((entry) => JSON.stringify(entry)));
  return [
    ...[...ours].filter((entry) => !theirs.has(entry)).map((entry) => `only source: ${entry}`),
    ...[...theirs].filter((entry) => !ours.has(entry)).map((entry) => `only target: ${entry}`),
  ];
}

function compareCpu(source: Facts, target: Facts): Finding {
  const differences = unequal([
    ['name', source.cpu.name, target.cpu.name],
    ['model', source.cpu.model, target.cpu.model],
    ['family', source.cpu.family, target.cpu.family],
    ['stepping', source.cpu.stepping, target.cpu.stepping],
  ]);
  if (target.cpu.count < source.cpu.count) {
    differences.push(`count: source ${source.cpu.count}, target ${target.cpu.count}`);
  }
  const known = new Set(target.cpu.flags);
  const missing = source.cpu.flags.filter((flag) => !known.has(flag));
  if (missing.length > 0) differences.push(`the target lacks ${missing.join(' ')}`);
  const why = 'Running programs have chosen their code by what the CPU can do.';
  return judge(
    'cpu-mismatch',
    why,
    differences,
    `${source.cpu.count} x ${source.cpu.name ?? 'CPU'}`,
  );
}

function compareDevices(source: Facts, target: Facts): Finding {
  const ours = new Map(source.pci.map((device) => [device.slot, deviceText(device)]));
  const theirs = new Map(target.pci.map((device) => [device.slot, deviceText(device)]));
  const slots = [...new Set([...ours.keys(), ...theirs.keys()])].sort();
  const rows = slots.map((slot): [string, unknown, unknown] => [
    `slot ${slot}`,
    ours.get(slot) ?? 'empty',
    theirs.get(slot) ?? 'empty',
  ]);
  const why = "The image's drivers go on with the devices of the slots that they know.";
  return judge('device-mismatch', why, unequal(rows), `${ours.size} devices on both`);
}

function deviceText({ vendor, device, class: kind }: Facts['pci'][number]): string {
  return `${vendor}:${device} class ${kind}`;
}

/** Found out after the commit it would cost the whole window. One that could not try is not blamed. */
function judgeStandby(_source: Facts, target: Facts): Finding {
  const rehearsal = target.hibernation?.rehearsal;
  const why = 'In the jump the standby stops all its devices, and then its NIC takes another MAC.';
  const found = rehearsal === 'failed' ? ['what it tried once, for the jump, has failed'] : [];
  const same = rehearsal === 'held' ? 'they stopped when it tried' : 'it has not tried';
  return judge('standby-unfit', why, found, same);
}
