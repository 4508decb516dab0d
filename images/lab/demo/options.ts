/** The demo's command line: the lab's options, and what to do with the machine in it. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { PmsmError } from '../../../agent/wire/errors.ts';
import {
  CODEC_CHOICES,
  ENGINE_CHOICES,
  OptionsSchema,
} from '../../../orchestrator/store/record.ts';
import { DATABASES, DISKS, KERNELS, labOptionsSchema, NICS } from '../../options.ts';
import { MAX_MOVES } from './report/schema.ts';

export const LOADS = ['light', 'oltp', 'churn'] as const;

/** Kernel, initramfs and buffers, and what the network needs while memory is full of an image. */
const SMALL_LOADER_MIB = 128;

export const DemoOptionsSchema = z.strictObject({
  lab: labOptionsSchema,
  engine: z.enum(ENGINE_CHOICES),
  load: z.enum(LOADS),
  moves: z.int().min(1).max(MAX_MOVES),
  codec: z.enum(CODEC_CHOICES),
  downtime_limit_ms: OptionsSchema.shape.downtime_limit_ms,
  stall_ms: OptionsSchema.shape.stall_ms,
  /** A file, `-` for standard output, or null. */
  json: z.string().min(1).nullable(),
  /** Leaves the run's directory with consoles and records behind. */
  keep: z.boolean(),
  /** Compares every page frame; needs a kernel that can. */
  check: z.boolean(),
});

export type DemoOptions = z.infer<typeof DemoOptionsSchema>;

export function parseOptions(words: readonly string[]): DemoOptions {
  const command = makeCommand();
  command.parse(words, { from: 'user' });
  const { json, keep, check, engine, load, moves, codec, memory, ...others } = command.opts();
  const { standbyMemory = smallLoader(engine, others.kernel), ...more } = others;
  const { downtimeLimit: downtime_limit_ms, stallMs: stall_ms, ...lab } = more;
  const { singleNic: single_nic, standbyKernel: standby_kernel, ...rest } = lab;
  const parsed = DemoOptionsSchema.safeParse({
    lab: {
      ...rest,
      memory_mib: memory,
      single_nic,
      standby_kernel,
      standby_memory_mib: standbyMemory === 0 ? undefined : standbyMemory,
    },
    engine,
    load,
    moves,
    codec,
    downtime_limit_ms,
    stall_ms,
    json: json ?? null,
    keep,
    check,
  });
  if (!parsed.success) throw new PmsmError('bad-request', z.prettifyError(parsed.error));
  return parsed.data;
}

/** MiB that a standby uses itself, where it may. An image of the engine full, and KASAN, need all. */
export function smallLoader(engine: string, kernel: string): number {
  const able = kernel === 'patched' || kernel === 'hardened';
  return engine !== 'full' && able ? SMALL_LOADER_MIB : 0;
}

function makeCommand(): Command {
  const choice = (flags: string, about: string, values: readonly string[], value: string) =>
    new Option(flags, about).choices(values).default(value);
  const defaults = labOptionsSchema.parse({});
  return new Command('npm run demo --')
    .description('Moves a running database host between two emulated physical machines.')
    .option('--memory <mib>', 'memory of each machine', wholeNumber, defaults.memory_mib)
    .option('--cpus <n>', 'CPUs of each machine', wholeNumber, defaults.cpus)
    .addOption(choice('--nic <model>', 'network card', NICS, defaults.nic))
    .addOption(choice('--disk <model>', 'disk', DISKS, defaults.disk))
    .addOption(choice('--database <name>', 'database server', DATABASES, defaults.database))
    .addOption(choice('--kernel <kind>', 'kernel of both machines', KERNELS, defaults.kernel))
    .addOption(
      new Option('--standby-kernel <kind>', "a standby's, if not the same").choices(KERNELS),
    )
    .option('--standby-memory <mib>', 'what a standby uses itself; 0: all', wholeNumber)
    .option('--packages <names>', 'further Debian packages, with commas', list, defaults.packages)
    .option('--single-nic', 'migrate over the service network', defaults.single_nic)
    .addOption(choice('--engine <name>', 'how to move', ENGINE_CHOICES, 'auto'))
    .addOption(choice('--load <kind>', 'what clients and machine do', LOADS, 'light'))
    .option('--moves <n>', 'moves, back and forth', wholeNumber, 1)
    .addOption(choice('--codec <name>', 'compression of the image', CODEC_CHOICES, 'auto'))
    .option('--downtime-limit <ms>', 'predicted downtime to reach with delta', wholeNumber)
    .option('--stall-ms <ms>', 'the source thaws when nothing moves for so long', wholeNumber)
    .option('--json <file>', 'write the report there as well; - is standard output')
    .option('--keep', 'keep consoles and records of the run', false)
    .option('--check', 'compare every page frame before and after; takes longer', false)
    .showHelpAfterError('(--help lists the options)')
    .exitOverride();
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

function list(text: string): string[] {
  return text.split(',').filter((name) => name !== '');
}
