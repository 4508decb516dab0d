/**
 * A saved booted pair: a host with its database up, a standby that waits, and the disk that belongs to them. With it a
 * lab starts in seconds. It is made without an orchestrator, so that no connection of another time is in it.
 */
import { renameSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cached } from '../cache.ts';
import type { LabOptions } from '../options.ts';
import { run } from '../processes.ts';
import type { Progress } from '../progress.ts';
import { requireSpace } from '../setup/packages.ts';
import { diskFile, type Ingredients } from './ingredients.ts';
import { Lab, type MachineName } from './lab.ts';

export interface SavedPair {
  disk: string;
  states: Record<MachineName, string>;
}

const RECIPE_VERSION = 1;
/** Between "host is up" and the save: what still starts then would start in every lab again. */
const SETTLE_MS = 3000;

/** QEMU cannot save a machine with an NVMe disk ("non-migratable device"). Pairs of two builds are rare. */
export function isSavable(options: LabOptions): boolean {
  return options.disk !== 'nvme' && options.standby_kernel === undefined;
}

function variant({
  kernel,
  database,
  nic,
  disk,
  memory_mib,
  standby_memory_mib,
  cpus,
  single_nic,
}: LabOptions): string {
  const nics = single_nic ? `single-${nic}` : nic;
  const memory = standby_memory_mib ? `${memory_mib}.${standby_memory_mib}` : memory_mib;
  return ['pair', kernel, database, nics, disk, memory, cpus].join('-');
}

export async function savedPair(
  options: LabOptions,
  ingredients: Ingredients,
  progress: Progress,
): Promise<SavedPair> {
  const { kernel, initramfs, disk, keys, accelerator } = ingredients;
  const artefact = await cached(
    {
      // They are large: two of a variant are kept, for a disk with and one without somebody's extras.
      name: variant(options),
      keep: 2,
      title: 'Booting host and standby once, to save them',
      inputs: {
        version: RECIPE_VERSION,
        options: JSON.stringify(options),
        kernel: kernel.artefact,
        initramfs,
        disk,
        keys,
        accelerator: accelerator.fingerprint,
        machine: { file: 'images/lab/machine.ts' },
        network: { file: 'images/lab/switch.ts' },
      },
      build: async (directory) => {
        requireSpace();
        const name = `save-${process.pid}`;
        const lab = await Lab.create(name, options, ingredients, diskFile(disk));
        try {
          await lab.boot();
          await lab.ssh('sync');
          await sleep(SETTLE_MS);
          await Promise.all(Object.values(lab.machines).map((machine) => machine.pause()));
          for (const machine of Object.values(lab.machines)) {
            await machine.save(resolve(directory, `${machine.name}.state`));
          }
          await Promise.all(Object.values(lab.machines).map((machine) => machine.powerOff()));
          renameSync(lab.diskPath, resolve(directory, 'disk.img'));
        } finally {
          await lab.stop();
        }
        await run(['fallocate', '--dig-holes', resolve(directory, 'disk.img')]);
      },
    },
    progress,
  );
  return {
    disk: artefact.path('disk.img'),
    states: { node1: artefact.path('node1.state'), node2: artefact.path('node2.state') },
  };
}
