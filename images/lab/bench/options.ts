/** The bench's command line. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { PmsmError } from '../../../agent/wire/errors.ts';
import { DISKS, EMULATORS, type LabOptions, labOptionsSchema, NICS } from '../../options.ts';
import { ENGINES } from './engines/engine.ts';
import { type Plan, settingsOf } from './plan.ts';
import { MAX_RUNS } from './results.ts';

const LOADS = ['light', 'oltp'] as const;

/** Without them: every engine, on the machine that the promises are about. */
const DEFAULT_RUNS = 5;
/** The machine itself needs the rest. */
const FILL_PERCENT_MAX = 80;
const SWAP_FILL_PERCENT_MAX = 20;

const BenchSchema = z
  .strictObject({
    engines: z.array(z.enum(ENGINES)).min(1),
    runs: z.int().min(1).max(100),
    memory_mib: z.array(labOptionsSchema.shape.memory_mib.unwrap()).min(1).max(8),
    loads: z.array(z.enum(LOADS)).min(1),
    fill_percent: z.array(z.int().min(0).max(FILL_PERCENT_MAX)).min(1).max(8),
    change_mib_per_s: z.array(z.int().min(0).max(1000)).min(1).max(8),
    lab: labOptionsSchema,
    emulator: z.enum(EMULATORS).nullable(),
    json: z.string().min(1).nullable(),
    resume: z.boolean(),
    export: z.string().min(1).nullable(),
  })
  .refine(({ lab, engines }) => lab.disk !== 'nvme' || !engines.includes('hypervisor'), {
    message: 'QEMU cannot migrate a machine with an NVMe disk: take --disk ahci or virtio',
  })
  .refine(
    ({ engines, fill_percent }) =>
      !engines.includes('swap') || Math.max(...fill_percent) <= SWAP_FILL_PERCENT_MAX,
    {
      message: `stock hibernation saves half of memory at most: without swap, or --fill up to ${SWAP_FILL_PERCENT_MAX}`,
    },
  )
  .refine((bench) => countRuns(bench) <= MAX_RUNS, { message: `more than ${MAX_RUNS} runs` })
  .refine(({ engines }) => new Set(engines).size === engines.length, {
    message: 'an engine is named twice',
  });

export interface BenchOptions extends Plan {
  readonly lab: LabOptions;
  /** Null: the one that all engines can do with. */
  readonly emulator: LabOptions['emulator'] | null;
  readonly json: string | null;
  readonly resume: boolean;
  /** A folder. */
  readonly export: string | null;
}

function countRuns({ engines, runs, ...axes }: Plan): number {
  return engines.length * runs * settingsOf(axes).length;
}

export function parseOptions(words: readonly string[]): BenchOptions {
  const command = makeCommand();
  command.parse(words, { from: 'user' });
  const {
    engines,
    runs,
    memory,
    load,
    fill,
    change,
    cpus,
    nic,
    disk,
    qemu,
    json,
    resume,
    export: folder,
  } = command.opts();
  const parsed = BenchSchema.safeParse({
    engines,
    runs,
    memory_mib: memory,
    loads: load,
    fill_percent: fill,
    change_mib_per_s: change,
    lab: labOptionsSchema.parse({ cpus, nic, disk }),
    emulator: qemu ?? null,
    json: json ?? null,
    resume,
    export: folder ?? null,
  });
  if (!parsed.success) throw new PmsmError('bad-request', z.prettifyError(parsed.error));
  return parsed.data;
}

function makeCommand(): Command {
  const defaults = labOptionsSchema.parse({});
  return new Command('npm run bench --')
    .description('Moves the same machine in different ways, in turn, and compares them.')
    .option('--engines <names>', `with commas: ${ENGINES.join(', ')}`, list, [...ENGINES])
    .option('--runs <n>', 'moves with each engine', wholeNumber, DEFAULT_RUNS)
    .option('--memory <mib>', 'memory of the machines, several with commas', numbers, [
      defaults.memory_mib,
    ])
    .option('--load <kinds>', `with commas: ${LOADS.join(', ')}`, list, ['light'])
    .option('--fill <percents>', 'of memory, held by a process; several with commas', numbers, [0])
    .option(
      '--change <rates>',
      'MiB/s of memory that a process writes anew; several with commas',
      numbers,
      [0],
    )
    .option('--cpus <n>', 'CPUs of each machine', wholeNumber, defaults.cpus)
    .addOption(new Option('--nic <model>', 'network card').choices(NICS).default('virtio'))
    .addOption(new Option('--disk <model>', 'disk').choices(DISKS).default(defaults.disk))
    .addOption(
      new Option(
        '--qemu <which>',
        "installed here, or of Debian's stable release; without it what all engines can do with",
      ).choices(EMULATORS),
    )
    .option('--json <file>', 'the reports of all runs, written after each')
    .option('--export <folder>', 'in the end, the table as Markdown and each picture as SVG')
    .option('--resume', 'go on where the file of --json ends', false)
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

function numbers(text: string): number[] {
  return list(text).map(wholeNumber);
}
