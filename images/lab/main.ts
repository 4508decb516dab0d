/** `npm run lab -- up | ssh | console | status | down`: a lab that stays until it is told to go. */
import { spawn } from 'node:child_process';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { isErrorCode, PmsmError, toPmsmError } from '../../agent/wire/errors.ts';
import { onInterrupt } from '../cleanup.ts';
import { DATABASES, DISKS, KERNELS, type LabOptions, NICS } from '../options.ts';
import { end, identify } from '../processes.ts';
import { textProgress } from '../progress.ts';
import { attachConsole } from './console.ts';
import { hostStates } from './hosts.ts';
import { gather } from './ingredients.ts';
import { parseOptions } from './lab.ts';
import { sshCommand } from './shell.ts';
import { DEFAULT_NAME, type LabState, readState, requireState, runDirectory } from './state.ts';
import { SERVICE_ADDRESS, Switch } from './switch.ts';

const EXIT_USAGE = 2;

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value)) throw new InvalidArgumentError('It must be a whole number.');
  return value;
}

function program(): Command {
  const lab = new Command('lab')
    .description('Two emulated physical machines, a switch, a shared disk and an orchestrator.')
    .option('--name <name>', 'name of the lab', DEFAULT_NAME)
    .enablePositionalOptions()
    .exitOverride();
  lab
    .command('up')
    .description('build what is missing and start a lab that stays')
    .option('--memory <MiB>', 'memory of each machine', wholeNumber)
    .option('--cpus <n>', 'CPUs of each machine', wholeNumber)
    .addOption(new Option('--nic <model>', 'network cards').choices(NICS))
    .addOption(new Option('--disk <kind>', 'how the disk is attached').choices(DISKS))
    .addOption(new Option('--kernel <kind>', 'which kernel').choices(KERNELS))
    .addOption(
      new Option('--standby-kernel <kind>', "a standby's, if not the same").choices(KERNELS),
    )
    .option('--standby-memory <MiB>', 'what a standby uses itself (engine delta)', wholeNumber)
    .addOption(new Option('--database <server>', 'which database').choices(DATABASES))
    .option('--packages <a,b>', 'further Debian packages on the host')
    .option('--single-nic', 'the migration address shares the service NIC')
    .action((flags, command) => up(nameOf(command), optionsOf(flags)));
  lab
    .command('ssh')
    .description('a shell, or a command, on the machine that runs on NAME (node1, node2 or host)')
    .argument('<name>')
    .argument('[command...]')
    .passThroughOptions()
    .action((name, words, _flags, command) => ssh(nameOf(command), name, words));
  lab
    .command('console')
    .description('the serial console of a machine; Ctrl-] leaves it')
    .argument('<name>')
    .action((name, _flags, command) => consoleOf(nameOf(command), name));
  lab
    .command('status')
    .description('what runs')
    .action((_flags, command) => status(nameOf(command)));
  lab
    .command('down')
    .description('end the lab and everything in it')
    .action((_flags, command) => down(nameOf(command)));
  return lab;
}

const nameOf = (command: Command): string => command.optsWithGlobals<{ name: string }>().name;

interface UpFlags {
  memory?: number;
  packages?: string;
  singleNic?: boolean;
  standbyKernel?: string;
  standbyMemory?: number;
}

function optionsOf(flags: UpFlags & Record<string, unknown>): LabOptions {
  const { memory, packages, singleNic, standbyKernel, standbyMemory, ...same } = flags;
  return parseOptions({
    ...same,
    ...(standbyKernel === undefined ? {} : { standby_kernel: standbyKernel }),
    ...(standbyMemory === undefined ? {} : { standby_memory_mib: standbyMemory }),
    ...(memory === undefined ? {} : { memory_mib: memory }),
    ...(packages === undefined ? {} : { packages: packages.split(',').filter(Boolean) }),
    ...(singleNic === undefined ? {} : { single_nic: singleNic }),
  });
}

async function up(name: string, options: LabOptions): Promise<void> {
  if (readState(name)) {
    throw new PmsmError('bad-request', 'A lab is running already: `npm run lab -- down` ends it.');
  }
  const progress = textProgress();
  // Built here, where a person sees it; the keeper finds all of it in the cache.
  await gather(options, { files: [], units: [] }, progress);
  await progress.step('Booting host and standby', () => startKeeper(name, options));
  const state = requireState(name);
  process.stdout.write(`${describeState(state)}
The host runs on node1, node2 waits as its standby. What to type next:
  npm run pmsm -- migrate node1 node2
  npm run lab -- ssh host            a shell on the machine that moves
  npm run lab -- console node2       what the standby says
  npm run lab -- down
`);
}

/** Starts the keeper in a session of its own and waits until its lab is ready. */
async function startKeeper(name: string, options: LabOptions): Promise<void> {
  const file = new URL('./keeper.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [file, name, JSON.stringify(options)], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const keeper = child.pid === undefined ? undefined : identify(child.pid);
  const forget = onInterrupt(() => (keeper ? end(keeper, 'SIGTERM') : undefined));
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-8192);
  });
  const ended = new Promise<void>((done) => child.once('close', () => done()));
  try {
    for (let over = false; readState(name)?.phase !== 'ready'; ) {
      if (over) throw keeperError(said);
      over = await Promise.race([ended.then(() => true), delay()]);
    }
  } finally {
    forget();
  }
  child.stdout.destroy();
  child.unref();
}

const POLL_MS = 100;
const delay = (): Promise<false> =>
  new Promise((done) => setTimeout(() => done(false), POLL_MS).unref());

function keeperError(said: string): PmsmError {
  try {
    const { code, detail } = JSON.parse(said);
    return new PmsmError(isErrorCode(code) ? code : 'lab-failed', String(detail));
  } catch {
    return new PmsmError('lab-failed', 'The process that keeps the lab has ended.');
  }
}

function machineOf(state: LabState, name: string): LabState['machines'][string] {
  const machine = state.machines[name];
  if (machine) return machine;
  const known = Object.keys(state.machines).join(' and ');
  throw new PmsmError('unknown-host', `There are ${known}, not ${name}.`);
}

/** By the migration address, which belongs to the physical machine; `host` goes where the machine is. */
async function ssh(lab: string, name: string, words: string[]): Promise<void> {
  const state = requireState(lab);
  const address = name === 'host' ? SERVICE_ADDRESS : machineOf(state, name).address;
  if (name !== 'host') await requireHost(state, name);
  const terminal = words.length === 0 && process.stdin.isTTY === true;
  const command = [...sshCommand(state.keys, address, terminal), ...(words.length ? ['--'] : [])];
  const typed = words[0] === '--' ? words.slice(1) : words;
  process.exitCode = await inside(state, [...command, ...typed]);
}

async function requireHost(state: LabState, name: string): Promise<void> {
  if (!state.orchestrator) return;
  const seen = (await hostStates(state.orchestrator.socket))[name];
  // A source works until its window, and a busy standby refuses by itself.
  if (seen === 'running' || seen === 'busy' || seen === undefined) return;
  const hint = `\`lab console ${name}\` shows what it says, \`lab ssh host\` finds the machine.`;
  throw new PmsmError('bad-request', `${name} is ${seen}: nobody to log in to. ${hint}`);
}

async function inside(state: LabState, argv: string[]): Promise<number> {
  if (!state.network) throw new PmsmError('lab-not-running');
  const [file, ...args] = Switch.of(state.network).inside(argv);
  const child = spawn(file, args, { stdio: 'inherit' });
  return new Promise((done, reject) => {
    child.once('error', reject);
    child.once('close', (code) => done(code ?? 1));
  });
}

async function consoleOf(lab: string, name: string): Promise<void> {
  await attachConsole(machineOf(requireState(lab), name));
}

async function status(lab: string): Promise<void> {
  const state = requireState(lab);
  const seen = state.orchestrator
    ? await hostStates(state.orchestrator.socket).catch(() => ({}) as Record<string, string>)
    : {};
  process.stdout.write(`${describeState(state, seen)}\n`);
}

function describeState(state: LabState, seen: Record<string, string> = {}): string {
  const { memory_mib, cpus, nic, disk, kernel, database, packages, single_nic } = state.options;
  const { standby_kernel, standby_memory_mib: own_mib } = state.options;
  const standby = [standby_kernel, own_mib && `uses ${own_mib} MiB`].filter(Boolean).join(', ');
  const kernels = standby ? `${kernel} kernel (standby: ${standby})` : `${kernel} kernel`;
  const lines = [
    `lab ${state.name}: ${state.phase}, ${state.accelerator}, ${memory_mib} MiB, ${cpus} CPU, ` +
      `${nic}${single_nic ? ' (one NIC)' : ''}, ${disk}, ${kernels}, ${database}` +
      (packages.length > 0 ? `, ${packages.join(', ')}` : ''),
  ];
  for (const [name, machine] of Object.entries(state.machines)) {
    const power = machine.process ? `on (pid ${machine.process.pid})` : 'off';
    lines.push(
      `  ${name}  ${power}  ${seen[name] ?? machine.role ?? ''}  console: ${machine.console}`,
    );
  }
  const { orchestrator } = state;
  if (orchestrator) lines.push(`  orchestrator  unix:${orchestrator.socket}`);
  return lines.join('\n');
}

async function down(lab: string): Promise<void> {
  const { keeper } = requireState(lab);
  await textProgress().step('Ending the lab', () => end(keeper, 'SIGTERM'));
  process.stdout.write(`Nothing of ${runDirectory(lab)} is left.\n`);
}

try {
  await program().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    const known = toPmsmError(error);
    // What a bad request asks for is in its detail.
    const remedy = known.code === 'bad-request' ? '' : `${known.remedy}\n`;
    process.stderr.write(`${known.message}\n${remedy}`);
    process.exitCode = known.exitCode;
  }
}
