/**
 * What a lab boots from: the shared disk, kernel and initramfs, as copies of its own beside the artefacts. The disk
 * because it is written to; the others because an artefact may be pruned while a lab that was made of it goes on.
 */
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { cacheDirectory } from '../paths.ts';
import { run } from '../processes.ts';
import { requireSpace } from '../setup/packages.ts';

const MIB = 1024 ** 2;
/** What a lab may write beyond the base: its database grows. */
const GROWTH = 512 * MIB;

function disksDirectory(): string {
  const directory = resolve(cacheDirectory(), 'labs');
  mkdirSync(directory, { recursive: true });
  return directory;
}

export interface BootPair {
  kernel: string;
  initramfs: string;
}

export interface BootFiles {
  disk: string;
  host: BootPair;
  standby: BootPair;
}

export async function copyBootFiles(originals: BootFiles, lab: string): Promise<BootFiles> {
  removeAbandonedDisks();
  const directory = resolve(disksDirectory(), `${lab}.${process.pid}`);
  requireSpace(disksDirectory(), statSync(originals.disk).blocks * 512 + GROWTH);
  mkdirSync(directory, { recursive: true });
  const copies = {
    disk: resolve(directory, 'disk.img'),
    host: bootPairIn(directory, 'host'),
    standby: bootPairIn(directory, 'standby'),
  };
  try {
    await copyFile(originals.disk, copies.disk);
    for (const role of ['host', 'standby'] as const) {
      await copyFile(originals[role].kernel, copies[role].kernel);
      await copyFile(originals[role].initramfs, copies[role].initramfs);
    }
  } catch (error) {
    removeBootFiles(copies);
    throw error;
  }
  return copies;
}

const bootPairIn = (directory: string, role: string): BootPair => ({
  kernel: resolve(directory, `${role}.kernel`),
  initramfs: resolve(directory, `${role}.initramfs`),
});

async function copyFile(from: string, to: string): Promise<void> {
  await run(['cp', '--sparse=auto', '--reflink=auto', from, to]);
}

export function removeBootFiles(copies: BootFiles): void {
  rmSync(dirname(copies.disk), { recursive: true, force: true });
}

/** Those of labs whose process was killed. */
function removeAbandonedDisks(): void {
  for (const entry of readdirSync(disksDirectory())) {
    const pid = /\.(\d+)$/.exec(entry)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    rmSync(resolve(disksDirectory(), entry), { recursive: true, force: true });
  }
}

/** Some file systems, tmpfs among them, cannot bypass the page cache. */
export function supportsDirectIo(file: string): boolean {
  try {
    closeSync(openSync(file, constants.O_RDWR | constants.O_DIRECT));
    return true;
  } catch {
    return false;
  }
}
