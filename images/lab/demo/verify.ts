/** Looks at the machine from outside: is it the one that it was before? */
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { PmsmError } from '../../../agent/wire/errors.ts';
import { CommandError, run } from '../../processes.ts';
import { WITNESS_QUERY, WITNESS_UNIT, type Witness, WitnessSchema } from '../guest/witness.ts';

/** Runs a command on the machine that moves, over its service address. */
export type OnHost = (command: string) => Promise<string>;

/** The uptime may run this much apart from this machine's clock: wall time comes from an RTC. */
const UPTIME_SLACK_MS = 10_000;
/** How long the file systems stay frozen for e2fsck; longer at each try. */
const FREEZE_S = [5, 10, 20];
const POLL_MS = 50;
const SUPERBLOCK_OFFSET = 1024;
const MAGIC_OFFSET = 0x38;
const MAGIC = 0xef53;
const INCOMPAT_OFFSET = 0x60;
/** Set while the journal holds something that is not in its place yet. */
const NEEDS_RECOVERY = 0x4;

/** Where a file system begins in a file. */
export interface FilePlace {
  readonly file: string;
  readonly offset_bytes: number;
}

export async function askWitness(onHost: OnHost): Promise<Witness> {
  return WitnessSchema.parse(JSON.parse(await onHost(WITNESS_QUERY)));
}

export interface WitnessVerdict {
  readonly memory: boolean;
  readonly file: boolean;
  readonly continued: boolean;
}

/** `elapsed_ms` is how long ago, by this machine's clock, the witness was asked before. */
export function compareWitness(
  before: Witness,
  after: Witness,
  elapsed_ms: number,
): WitnessVerdict {
  const grown_ms = after.uptime_ms - before.uptime_ms;
  return {
    memory: after.memory_digest === before.memory_digest,
    file: after.file_digest === before.file_digest,
    continued:
      after.pid === before.pid &&
      after.start_jiffies === before.start_jiffies &&
      after.boot_id === before.boot_id &&
      grown_ms >= 0 &&
      grown_ms <= elapsed_ms + UPTIME_SLACK_MS,
  };
}

/** What runs on every machine of the demo. */
const UNITS = ['ssh.service', 'pmsm-agent.service', WITNESS_UNIT];

/** The main process of each unit that should run, as systemd knows them: one line a unit. */
export async function askServices(onHost: OnHost, more: readonly string[]): Promise<string[]> {
  const units = [...more, ...UNITS];
  const properties = '-p Id -p ActiveState -p MainPID -p NRestarts';
  const said = await onHost(`systemctl show ${properties} ${units.join(' ')}`);
  return said
    .split(/\n\s*\n/)
    .map((unit) => unit.trim().split('\n').sort().join(' '))
    .filter((unit) => unit !== '');
}

/** Every unit is active, none has failed, and each has the process that it had before. */
export async function servicesWentOn(
  onHost: OnHost,
  more: readonly string[],
  before: readonly string[],
): Promise<boolean> {
  const now = await askServices(onHost, more);
  const failed = await onHost('systemctl list-units --failed --plain --no-legend');
  return (
    failed.trim() === '' &&
    now.length > 0 &&
    now.length === before.length &&
    now.every((unit, index) => unit === before[index] && unit.includes('ActiveState=active'))
  );
}

/**
 * Checks the disk under the running machine: its file system is frozen for some seconds, which
 * empties the journal, and e2fsck reads the disk from outside. The superblock tells when the file
 * system is at rest, and whether it still was when e2fsck had ended.
 */
export async function diskIsClean(onHost: OnHost, disk: FilePlace, log: string): Promise<boolean> {
  for (const freeze_s of FREEZE_S) {
    const thawed = onHost(`fsfreeze -f / && { sleep ${freeze_s}; fsfreeze -u /; }`);
    thawed.catch(() => undefined);
    const resting = await untilAtRest(disk, freeze_s * 1000);
    const clean = resting && (await fsckIsClean(disk, log));
    const rested = resting && (await isAtRest(disk));
    await thawed;
    if (rested) return clean;
  }
  const where = disk.file;
  throw new PmsmError('lab-failed', `the file system on ${where} did not stay frozen for e2fsck`);
}

/** Exit 0 of `e2fsck -fn` and nothing else; what it says goes to the log. */
export async function fsckIsClean(disk: FilePlace, log: string): Promise<boolean> {
  try {
    await run(['e2fsck', '-fn', `${disk.file}?offset=${disk.offset_bytes}`], { log });
    return true;
  } catch (error) {
    if (error instanceof CommandError) return false;
    throw error;
  }
}

async function untilAtRest(disk: FilePlace, limit_ms: number): Promise<boolean> {
  for (const deadline = performance.now() + limit_ms; performance.now() < deadline; ) {
    if (await isAtRest(disk)) return true;
    await sleep(POLL_MS);
  }
  return false;
}

async function isAtRest(disk: FilePlace): Promise<boolean> {
  const file = await open(disk.file, 'r');
  try {
    const block = Buffer.alloc(1024);
    await file.read(block, 0, block.length, disk.offset_bytes + SUPERBLOCK_OFFSET);
    if (block.readUInt16LE(MAGIC_OFFSET) !== MAGIC) {
      throw new PmsmError('lab-failed', `${disk.file} does not hold an ext4 file system`);
    }
    return (block.readUInt32LE(INCOMPAT_OFFSET) & NEEDS_RECOVERY) === 0;
  } finally {
    await file.close();
  }
}
