/**
 * An emulated physical machine: a q35 board with its NICs and its disk in fixed slots, so that two of them are the same
 * model. It can be powered on as a host or as a standby, powered off, saved and started from a saved state.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { setPriority } from 'node:os';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PmsmError } from '../../agent/wire/errors.ts';
import type { LabOptions } from '../options.ts';
import { end, identify, type ProcessId, tailOf, tether } from '../processes.ts';
import { DISK_LABEL, OWNER_PARTLABEL } from '../rootfs.ts';
import type { Accelerator } from './accel.ts';
import type { BootPair } from './disk.ts';
import type { Emulator } from './emulator.ts';
import { type Migrated, Qmp } from './qmp.ts';
import { CLIENT_MIGRATION_ADDRESS, type Switch, tapName } from './switch.ts';

export interface Board {
  options: LabOptions;
  emulator: Emulator;
  accelerator: Accelerator;
  host: BootPair;
  standby: BootPair;
  disk: string;
  /** Whether the disk's file system can bypass the page cache. */
  directIo: boolean;
}

export interface MachinePlace {
  name: string;
  /** 1 for node1: part of its addresses and MACs. */
  number: number;
  runDir: string;
  network: Switch;
  /** Where its disk is served, if not from the file itself. */
  diskUri: string | undefined;
  /** Called when the machine was powered on or has ended. */
  changed: () => void;
}

export type Role = 'host' | 'standby';

/** How a machine begins, if not with a boot as every other. */
export interface PowerOn {
  /** It goes on where this saved state ends. */
  stateFile?: string;
  /** It waits for another emulator to hand its machine over (QEMU's own live migration), and goes on as that one. */
  incoming?: string;
  /** More words for the kernel. */
  kernelWords?: readonly string[];
}

const SAVE_LIMIT_MS = 120_000;
const POWER_OFF_LIMIT_MS = 10_000;
const POLL_MS = 20;
const CONTROL_PORT = 7071;
/** No limit in effect. */
const BANDWIDTH_BYTES_PER_S = 8 * 1024 ** 3;
/**
 * Two physical machines do not share processors, but here they do: what a standby does would slow down the machine that
 * works. So the one that works comes first. While it is frozen the standby has all of the processors.
 */
const STANDBY_NICE = 10;
/** Left out for the hardened kernel, which is there to be tried with what these switch off. */
const CHEAP = [
  // Every kernel entry would cost a flush of translated code; no attacker shares an emulated machine.
  'mitigations=off',
  // Debian's kernel zeroes every page that it gives out: nothing on hardware, seconds a snapshot under emulation.
  'init_on_alloc=0',
];

const runs = (child: ChildProcess | undefined): boolean =>
  child !== undefined && child.exitCode === null && !child.signalCode;

export class Machine {
  readonly name: string;
  readonly number: number;
  /** The address that stays with this physical machine. */
  readonly address: string;
  /** Everything that the machine ever wrote to its serial port. */
  readonly console: string;
  readonly consoleSocket: string;
  readonly #board: Board;
  readonly #place: MachinePlace;
  #child: ChildProcess | undefined;
  #id: ProcessId | undefined;
  #qmp: Qmp | undefined;
  #role: Role | undefined;
  /** Where this power-on begins in the console's record. */
  #consoleStart = 0;

  constructor(board: Board, place: MachinePlace) {
    this.#board = board;
    this.#place = place;
    this.name = place.name;
    this.number = place.number;
    this.address = `10.0.1.${place.number}`;
    this.console = resolve(place.runDir, `${place.name}.console`);
    this.consoleSocket = resolve(place.runDir, `${place.name}.tty`);
  }

  /** What it was powered on as; undefined while it is off. A host that arrived later leaves this at standby. */
  get role(): Role | undefined {
    return this.isRunning() ? this.#role : undefined;
  }

  get process(): ProcessId | undefined {
    return this.#id;
  }

  isRunning(): boolean {
    return runs(this.#child);
  }

  async powerOn(role: Role, start: PowerOn = {}): Promise<void> {
    const { stateFile, incoming, kernelWords = [] } = start;
    if (this.isRunning()) throw new PmsmError('lab-failed', `${this.name} is on already.`);
    for (const socket of [this.#qmpSocket, this.consoleSocket]) rmSync(socket, { force: true });
    this.#consoleStart = this.consoleText().length;
    const errors = resolve(this.#place.runDir, `${this.name}.qemu`);
    const log = openSync(errors, 'w');
    const deferred = (stateFile ?? incoming) === undefined ? [] : ['-incoming', 'defer'];
    const priority = role === 'standby' ? ['nice', '-n', String(STANDBY_NICE)] : [];
    const words = [...this.#arguments(role, kernelWords), ...deferred];
    const argv = tether([...priority, ...this.#board.emulator.argv, ...words]);
    const [program, ...args] = this.#place.network.inside(argv);
    const child = spawn(program, args, { detached: true, stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    this.#role = role;
    child.once('error', () => undefined);
    child.once('exit', () => this.#place.changed());
    child.unref();
    this.#id = child.pid === undefined ? undefined : identify(child.pid);
    this.#place.changed();
    try {
      this.#qmp = await Qmp.connect(this.#qmpSocket, () => this.isRunning());
      if (stateFile !== undefined) await this.#load(stateFile);
      if (incoming !== undefined) await this.#qmp.command('migrate-incoming', { uri: incoming });
    } catch (error) {
      await this.powerOff();
      const said = tailOf(errors).trim() || (error as Error).message;
      throw new PmsmError('lab-failed', `${this.name}: ${said}`);
    }
  }

  /** The plug is pulled. */
  async powerOff(): Promise<void> {
    this.#qmp?.close();
    this.#qmp = undefined;
    if (!this.isRunning() || !this.#id) return;
    await end(this.#id, 'SIGKILL');
    // The process is gone before this one has heard of it; whoever powers it on next asks this one.
    await this.waitForPowerOff(POWER_OFF_LIMIT_MS);
  }

  /**
   * What was a standby works now, or is about to: nothing else does while a machine stands still. Users other than
   * root cannot take niceness back; then it stays second.
   */
  comeFirst(): void {
    this.#beAsNiceAs(0);
  }

  /** It goes on waiting. */
  standBack(): void {
    this.#beAsNiceAs(STANDBY_NICE);
  }

  /** All of QEMU's threads, by system calls only: a process that is started takes time from a window. */
  #beAsNiceAs(niceness: number): void {
    if (!this.isRunning() || !this.#id) return;
    try {
      for (const thread of readdirSync(`/proc/${this.#id.pid}/task`)) {
        setPriority(Number(thread), niceness);
      }
    } catch {
      // It has ended, or this user may not.
    }
  }

  /** Waits until the machine has powered itself off. */
  async waitForPowerOff(limit_ms: number): Promise<void> {
    const deadline_ms = performance.now() + limit_ms;
    // Somebody else may wait for that, too, and power it on again at once.
    const child = this.#child;
    while (runs(child)) {
      if (performance.now() > deadline_ms) {
        throw new PmsmError('lab-failed', `${this.name} did not power off; see ${this.console}`);
      }
      await sleep(POLL_MS);
    }
    if (this.#child !== child) return;
    this.#qmp?.close();
    this.#qmp = undefined;
  }

  /** Waits for a text on the console since power-on, or from an offset on; returns the offset just after it. */
  async waitForConsole(text: string, limit_ms: number, from = this.#consoleStart): Promise<number> {
    const deadline_ms = performance.now() + limit_ms;
    for (;;) {
      const found = this.consoleText().indexOf(text, from);
      if (found >= 0) return found + text.length;
      if (!this.isRunning() || performance.now() > deadline_ms) {
        const why = this.isRunning() ? `did not say "${text}" in time` : 'has ended';
        const last = this.consoleText().slice(-600);
        throw new PmsmError('lab-failed', `${this.name} ${why}; see ${this.console}\n${last}`);
      }
      await sleep(POLL_MS);
    }
  }

  consoleText(): string {
    // One character a byte, so that offsets count bytes.
    return existsSync(this.console) ? readFileSync(this.console, 'latin1') : '';
  }

  /** Types on the serial console. */
  async type(text: string): Promise<void> {
    const socket = connect(this.consoleSocket);
    await new Promise<void>((done, reject) => {
      socket.once('error', reject);
      socket.once('connect', () => socket.write(text, () => done()));
    });
    socket.end();
  }

  qmp(): Qmp {
    if (!this.#qmp) throw new PmsmError('lab-failed', `${this.name} is off.`);
    return this.#qmp;
  }

  async pause(): Promise<void> {
    await this.qmp().command('stop');
  }

  async resume(): Promise<void> {
    await this.qmp().command('cont');
  }

  /** Writes the machine's state to a file; the machine stays stopped, with its disk written back. */
  async save(stateFile: string): Promise<void> {
    const qmp = this.qmp();
    await this.pause();
    await qmp.command('migrate-set-parameters', { 'max-bandwidth': BANDWIDTH_BYTES_PER_S });
    await qmp.command('migrate', { uri: `exec:cat >'${stateFile}'` });
    await qmp.migrated(SAVE_LIMIT_MS);
  }

  /**
   * QEMU's own live migration to an emulator that waits at `uri`. As fast as the host can; the machine stops when
   * what is left can be sent within the limit.
   */
  async handOver(uri: string, downtime_limit_ms: number, limit_ms: number): Promise<Migrated> {
    const qmp = this.qmp();
    await qmp.command('migrate-set-parameters', {
      'max-bandwidth': BANDWIDTH_BYTES_PER_S,
      'downtime-limit': downtime_limit_ms,
    });
    await qmp.command('migrate', { uri });
    return await qmp.migrated(limit_ms);
  }

  async #load(stateFile: string): Promise<void> {
    const qmp = this.qmp();
    await qmp.command('migrate-incoming', { uri: `exec:cat '${stateFile}'` });
    const deadline_ms = performance.now() + SAVE_LIMIT_MS;
    for (;;) {
      const { status } = await qmp.status();
      if (status !== 'inmigrate') break;
      if (!this.isRunning()) throw new Error('QEMU has ended');
      if (performance.now() > deadline_ms) throw new Error('the saved state did not load');
      await sleep(POLL_MS);
    }
    await this.resume();
  }

  get #qmpSocket(): string {
    return resolve(this.#place.runDir, `${this.name}.qmp`);
  }

  #arguments(role: Role, kernelWords: readonly string[]): string[] {
    const { options, accelerator } = this.#board;
    const { kernel, initramfs } = this.#board[role];
    return [
      ...['-name', this.name, '-nodefaults', '-no-user-config', '-display', 'none'],
      // All memory is there from the start, as in a physical machine: else the first touch of each page would be
      // served by the emulating kernel in the middle of a snapshot, and counted as if it belonged to it.
      ...[
        '-object',
        `memory-backend-ram,id=ram,size=${options.memory_mib}M,prealloc=on,prealloc-threads=2`,
      ],
      ...['-machine', 'q35,memory-backend=ram', ...accelerator.arguments],
      ...['-smp', String(options.cpus), '-m', String(options.memory_mib)],
      // Its watchdog may reset it, if somebody starts it.
      ...['-global', 'ICH9-LPC.noreboot=false'],
      // A reset ends the machine: booting by itself it could mount a disk that has another owner by now.
      '-no-reboot',
      ...['-kernel', kernel, '-initrd', initramfs, '-append', this.#commandLine(role, kernelWords)],
      ...[
        '-chardev',
        `socket,id=tty,path=${this.consoleSocket},server=on,wait=off,logfile=${this.console},logappend=on`,
      ],
      ...['-serial', 'chardev:tty'],
      ...['-qmp', `unix:${this.#qmpSocket},server=on,wait=off`],
      ...this.#nicArguments(),
      ...this.#diskArguments(),
    ];
  }

  #nicArguments(): string[] {
    const model = this.#board.options.nic === 'virtio' ? 'virtio-net-pci' : 'e1000e';
    const nic = (network: 'service' | 'migration', octet: string, slot: string): string[] => [
      '-netdev',
      `tap,id=${network},ifname=${tapName(this.name, network)},script=no,downscript=no`,
      '-device',
      // No boot ROM: nothing boots from the network here.
      `${model},netdev=${network},mac=52:54:00:00:${octet}:0${this.#place.number},addr=${slot},romfile=`,
    ];
    const service = nic('service', '00', '0x3');
    return this.#board.options.single_nic
      ? service
      : [...service, ...nic('migration', '01', '0x4')];
  }

  /** Both machines have the same LUN open, so QEMU must not lock it; only one of them ever mounts it. */
  #diskArguments(): string[] {
    const { disk, directIo, options } = this.#board;
    const cache = directIo ? 'cache=none,aio=threads' : 'cache=writeback';
    const { diskUri } = this.#place;
    const where = diskUri ? `file=${diskUri}` : `file=${disk},file.locking=off,${cache}`;
    const drive = `${where},if=none,id=lun,format=raw,discard=unmap`;
    const device = {
      ahci: 'ide-hd,drive=lun,bus=ide.0',
      nvme: 'nvme,drive=lun,serial=pmsm-lun,addr=0x5',
      virtio: 'virtio-blk-pci,drive=lun,addr=0x5',
    }[options.disk];
    return ['-drive', drive, '-device', device];
  }

  /** `mem=` as well, which the randomised placing of a hardened kernel looks at. */
  #smallLoader(): string[] {
    const { standby_memory_mib, memory_mib } = this.#board.options;
    if (standby_memory_mib === undefined) return [];
    // In the middle: what cannot be moved out of the way gathers at both ends of the source's memory.
    return [`hibernate_loader=${standby_memory_mib}M@${Math.min(memory_mib / 2, 1024)}M`];
  }

  #commandLine(role: Role, more: readonly string[]): string {
    const { options } = this.#board;
    const single = options.single_nic;
    const kernel = (role === 'standby' && options.standby_kernel) || options.kernel;
    return [
      'console=ttyS0',
      `root=LABEL=${DISK_LABEL}`,
      'rw',
      // eth0 and eth1 in the order of the slots.
      'net.ifnames=0',
      ...(kernel === 'hardened' ? ['pti=on'] : CHEAP),
      // The emulated link needs no rest after a reset of the port: 200 ms of every jump.
      'libata.force=nodbdelay',
      'panic=10',
      // Built-in drivers that would make an interface of their own.
      'bonding.max_bonds=0',
      'dummy.numdummies=0',
      `pmsm.machine=${this.name}`,
      `pmsm.address=${this.address}/24`,
      `pmsm.interface=${single ? 'eth0' : 'eth1'}`,
      `pmsm.orchestrator=${CLIENT_MIGRATION_ADDRESS}:${CONTROL_PORT}`,
      `pmsm.record=PARTLABEL=${OWNER_PARTLABEL}`,
      ...(single ? ['pmsm.single-nic'] : []),
      ...(role === 'standby' ? ['pmsm.standby', ...this.#smallLoader()] : []),
      ...more,
    ].join(' ');
  }
}
