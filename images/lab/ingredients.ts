/** Everything that a lab is made of, from the cache or built. */
import { copyFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Artefact, cached, digestOfFile } from '../cache.ts';
import { type DiskExtras, hostDisk } from '../disk.ts';
import { INITRAMFS, initramfs } from '../initramfs.ts';
import { type KernelImage, labKernel } from '../kernel.ts';
import { keys } from '../keys.ts';
import type { LabOptions } from '../options.ts';
import type { Progress } from '../progress.ts';
import { DISK_FILE } from '../rootfs.ts';
import { ensurePackages, requireMemory, requireTun } from '../setup/packages.ts';
import { type Accelerator, accelerator } from './accel.ts';
import type { BootPair } from './disk.ts';
import { type Emulator, emulator } from './emulator.ts';

/** What one of the two roles boots. */
interface Boot {
  kernel: KernelImage;
  initramfs: Artefact;
}

export interface Ingredients extends Boot {
  standby: Boot;
  disk: Artefact;
  keys: Artefact;
  emulator: Emulator;
  accelerator: Accelerator;
}

export async function gather(
  options: LabOptions,
  extras: DiskExtras,
  progress: Progress,
): Promise<Ingredients> {
  // Said first, before anything long begins.
  requireTun();
  requireMemory(options.memory_mib);
  await ensurePackages(['lab', 'kernel', 'native'], progress);
  const kernel = await chosenKernel(options, progress);
  const ramdisk = await initramfs(kernel, progress);
  const host = { kernel, initramfs: ramdisk };
  const qemu = await emulator(options.emulator, progress);
  return {
    ...host,
    standby: options.standby_kernel ? await standbyBoot(options.standby_kernel, progress) : host,
    disk: await hostDisk(options, extras, progress),
    keys: await keys(progress),
    emulator: qemu,
    accelerator: await accelerator(qemu, kernel.image, ramdisk.path(INITRAMFS), progress),
  };
}

async function standbyBoot(kind: LabOptions['kernel'], progress: Progress): Promise<Boot> {
  const kernel = await labKernel(kind, progress);
  return { kernel, initramfs: await initramfs(kernel, progress) };
}

/** PMSM_LAB_KERNEL names a bzImage to use instead, for whoever works on the kernel. */
async function chosenKernel(options: LabOptions, progress: Progress): Promise<KernelImage> {
  const file = process.env.PMSM_LAB_KERNEL;
  if (!file || options.kernel === 'stock') return labKernel(options.kernel, progress);
  const artefact = await cached(
    {
      name: 'kernel-given',
      title: `Taking the kernel ${file}`,
      inputs: { content: digestOfFile(file) },
      build: async (directory) => {
        copyFileSync(file, resolve(directory, 'bzImage'));
      },
    },
    progress,
  );
  return { kind: options.kernel, image: artefact.path('bzImage'), artefact };
}

export const bootPairOf = ({ kernel, initramfs }: Boot): BootPair => ({
  kernel: kernel.image,
  initramfs: initramfs.path(INITRAMFS),
});

export const diskFile = (disk: Artefact): string => disk.path(DISK_FILE);
