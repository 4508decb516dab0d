/**
 * A lab: two emulated physical machines of the same model, a switch, a disk that both can reach,
 * a client's place on the network and the orchestrator. node1 boots as the host, node2 waits as
 * the standby.
 */
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { execa, type Options, type ResultPromise } from 'execa';
import { PmsmError } from '../../agent/wire/errors.ts';
import type { Artefact } from '../cache.ts';
import { onInterrupt } from '../cleanup.ts';
import type { DiskExtras } from '../disk.ts';
import { type LabOptions, type LabOptionsInput, labOptionsSchema } from '../options.ts';
import { identify, tether } from '../processes.ts';
import type { Progress } from '../progress.ts';
import { Bmc } from './bmc.ts';
import { type BootFiles, copyBootFiles, removeBootFiles, supportsDirectIo } from './disk.ts';
import { type Change, DiskServer } from './disk-server.ts';
import { waitForStates } from './hosts.ts';
import { bootPairOf, diskFile, gather, type Ingredients } from './ingredients.ts';
import { Machine } from './machine.ts';
import { LabOrchestrator, SOCKET } from './orchestrator.ts';
import { isSavable, savedPair } from './saved.ts';
import { sshCommand } from './shell.ts';
import { type LabState, makeRunDirectory, writeState } from './state.ts';
import { SERVICE_ADDRESS, Switch } from './switch.ts';

export interface LabStart extends LabOptionsInput {
  /** Names the run directory; by default one of this process. */
  name?: string;
  /** Start from a saved booted pair, which is made first if there is none. Not with NVMe, which cannot be saved. */
  saved?: boolean;
  /** What to put on the host's disk besides. */
  extras?: DiskExtras;
  /** Without it nothing decides, and the standby waits for it. */
  orchestrator?: boolean;
  /** Writes down what each machine asks of its disk. */
  logDisk?: boolean;
}

export const MACHINES = ['node1', 'node2'] as const;
export type MachineName = (typeof MACHINES)[number];

export const HOST_UP = 'pmsm: host is up';
export const STANDBY_UP = 'pmsm: standby ';
const NO_EXTRAS: DiskExtras = { files: [], units: [] };
/** An emulated boot takes 20 to 40 s on an idle machine of two cores. */
const BOOT_LIMIT_MS = 300_000;
const READY_LIMIT_MS = 60_000;

export class Lab {
  readonly name: string;
  readonly options: LabOptions;
  readonly runDir: string;
  readonly diskPath: string;
  readonly orchestratorSocket: string;
  readonly machines: Record<MachineName, Machine>;
  readonly orchestrator: LabOrchestrator;
  readonly accelerator: 'kvm' | 'tcg';
  /** QEMU's version. */
  readonly emulator: string;
  readonly #network: Switch;
  readonly #keys: Artefact;
  readonly #files: BootFiles;
  readonly #bmcs: Bmc[];
  readonly #diskServers: Partial<Record<MachineName, DiskServer>>;
  #phase: LabState['phase'] = 'starting';
  #forget: () => void = () => undefined;
  #stopped: Promise<void> | undefined;

  private constructor(name: string, options: LabOptions, parts: LabParts) {
    this.name = name;
    this.options = options;
    this.runDir = parts.runDir;
    this.diskPath = parts.files.disk;
    this.#files = parts.files;
    this.#network = parts.network;
    this.#keys = parts.ingredients.keys;
    this.#diskServers = parts.diskServers;
    this.accelerator = parts.ingredients.accelerator.name;
    this.emulator = parts.ingredients.emulator.version;
    const board = {
      options,
      emulator: parts.ingredients.emulator,
      accelerator: parts.ingredients.accelerator,
      ...parts.files,
      directIo: supportsDirectIo(parts.files.disk),
    };
    const machine = (machineName: MachineName, number: number): Machine =>
      new Machine(board, {
        name: machineName,
        number,
        runDir: parts.runDir,
        network: parts.network,
        diskUri: parts.diskServers[machineName]?.uri,
        changed: () => this.#write(),
      });
    this.machines = { node1: machine('node1', 1), node2: machine('node2', 2) };
    this.orchestratorSocket = resolve(parts.runDir, SOCKET);
    const machines = Object.values(this.machines);
    this.orchestrator = new LabOrchestrator(parts.runDir, parts.network, machines);
    this.#bmcs = machines.map((one) => Bmc.start(name, one, parts.runDir, parts.network));
  }

  /** Builds what is missing, then starts. Everything ends with this process, however it ends. */
  static async start(input: LabStart, progress: Progress): Promise<Lab> {
    const { name = `run-${process.pid}`, saved = false, extras = NO_EXTRAS, ...rest } = input;
    const { orchestrator = true, logDisk = false, ...settings } = rest;
    const options = parseOptions(settings);
    const ingredients = await gather(options, extras, progress);
    const pair =
      saved && isSavable(options) ? await savedPair(options, ingredients, progress) : undefined;
    const base = pair?.disk ?? diskFile(ingredients.disk);
    const lab = await Lab.create(name, options, ingredients, base, logDisk);
    try {
      if (orchestrator) await lab.orchestrator.start();
      await progress.step(pair ? 'Starting the saved machines' : 'Booting host and standby', () =>
        pair ? lab.#load(pair.states) : lab.boot(),
      );
      if (orchestrator) await lab.#seen(progress);
      lab.setPhase('ready');
      return lab;
    } catch (error) {
      await lab.stop();
      throw error;
    }
  }

  /** A lab with everything in place and its machines off. */
  static async create(
    name: string,
    options: LabOptions,
    ingredients: Ingredients,
    baseDisk: string,
    logDisk = false,
  ): Promise<Lab> {
    const runDir = makeRunDirectory(name);
    const files = await copyBootFiles(
      {
        disk: baseDisk,
        host: bootPairOf(ingredients),
        standby: bootPairOf(ingredients.standby),
      },
      name,
    );
    const network = await Switch.start([...MACHINES], options.single_nic);
    const diskServers = logDisk ? await startDiskServers(files.disk, runDir) : {};
    const lab = new Lab(name, options, { runDir, files, network, ingredients, diskServers });
    lab.#forget = onInterrupt(() => lab.stop());
    lab.#write();
    return lab;
  }

  /** Powers both machines on and waits until the host serves and the standby waits. */
  async boot(): Promise<void> {
    const { node1, node2 } = this.machines;
    await node1.powerOn('host');
    await node2.powerOn('standby');
    await node2.waitForConsole(STANDBY_UP, BOOT_LIMIT_MS);
    await node1.waitForConsole(HOST_UP, BOOT_LIMIT_MS);
  }

  async #load(states: Record<MachineName, string>): Promise<void> {
    await Promise.all([
      this.machines.node2.powerOn('standby', { stateFile: states.node2 }),
      this.machines.node1.powerOn('host', { stateFile: states.node1 }),
    ]);
    // It slept since it was saved, and nothing on it has noticed.
    await this.ssh(`date --set=@${(Date.now() / 1000).toFixed(3)} >/dev/null`);
  }

  /** Waits until the orchestrator has heard of both. */
  async #seen(progress: Progress): Promise<void> {
    const wanted = { node1: 'running', node2: 'standby' };
    await progress.step('Waiting for agent and standby', () =>
      waitForStates(this.orchestratorSocket, wanted, READY_LIMIT_MS),
    );
  }

  /** A vacated machine boots again as the next standby, once it has powered itself off. */
  async recycle(machine: Machine, limit_ms = 60_000): Promise<void> {
    await machine.waitForPowerOff(limit_ms);
    for (const other of Object.values(this.machines)) other.comeFirst();
    await machine.powerOn('standby');
    await machine.waitForConsole(STANDBY_UP, BOOT_LIMIT_MS);
    if (this.orchestrator.isRunning()) {
      const wanted = { [machine.name]: 'standby' };
      await waitForStates(this.orchestratorSocket, wanted, READY_LIMIT_MS);
    }
  }

  /** A command inside the lab's network, where the client is. It ends with this process. */
  exec<T extends Options>(argv: string[], options?: T): ResultPromise<T> {
    const [program, ...args] = this.inside(argv);
    // execa's own type of this call is wider than what it returns.
    return execa(program, args, options ?? {}) as unknown as ResultPromise<T>;
  }

  inside(argv: string[]): [string, ...string[]] {
    return this.#network.inside(tether(argv));
  }

  /** Runs a shell command on the machine that moves, wherever it is, and returns what it printed. */
  async ssh(command: string, address: string = SERVICE_ADDRESS): Promise<string> {
    const result = await this.exec([...sshCommand(this.#keys.directory, address), '--', command], {
      stdin: 'ignore',
    });
    return String(result.stdout);
  }

  setPhase(phase: LabState['phase']): void {
    this.#phase = phase;
    this.#write();
  }

  /** Ends everything and leaves nothing behind. */
  stop(): Promise<void> {
    this.#stopped ??= this.#end();
    return this.#stopped;
  }

  async #end(): Promise<void> {
    this.#forget();
    await this.orchestrator.stop();
    await Promise.all(Object.values(this.machines).map((machine) => machine.powerOff()));
    await Promise.all([...this.#bmcs, ...this.#servers()].map((server) => server.stop()));
    await this.#network.stop();
    removeBootFiles(this.#files);
    rmSync(this.runDir, { recursive: true, force: true });
  }

  /** What a machine has changed on the disk; with `logDisk` only. */
  diskChanges(machine: MachineName): Change[] {
    const server = this.#diskServers[machine];
    if (!server)
      throw new PmsmError('lab-failed', `what ${machine} does to its disk is not logged`);
    return server.changes();
  }

  #servers(): DiskServer[] {
    return Object.values(this.#diskServers);
  }

  #write(): void {
    const keeper = identify(process.pid);
    if (!keeper || this.#stopped) return;
    const machines = Object.values(this.machines).map((machine) => [
      machine.name,
      {
        process: (machine.isRunning() && machine.process) || null,
        role: machine.role ?? null,
        address: machine.address,
        console: machine.console,
        tty: machine.consoleSocket,
      },
    ]);
    const orchestrator = this.orchestrator.process;
    writeState({
      version: 1,
      name: this.name,
      phase: this.#phase,
      error: null,
      keeper,
      network: this.#network.holder,
      options: this.options,
      accelerator: this.accelerator,
      keys: this.#keys.directory,
      orchestrator: orchestrator
        ? { process: orchestrator, socket: this.orchestratorSocket }
        : null,
      machines: Object.fromEntries(machines),
    });
  }
}

interface LabParts {
  runDir: string;
  files: BootFiles;
  network: Switch;
  ingredients: Ingredients;
  diskServers: Partial<Record<MachineName, DiskServer>>;
}

async function startDiskServers(
  disk: string,
  runDir: string,
): Promise<Record<MachineName, DiskServer>> {
  const start = (name: MachineName): Promise<DiskServer> => DiskServer.start(disk, name, runDir);
  return { node1: await start('node1'), node2: await start('node2') };
}

export function parseOptions(input: unknown): LabOptions {
  const parsed = labOptionsSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new PmsmError('bad-request', `${issue?.path.join('.')}: ${issue?.message}`);
}
