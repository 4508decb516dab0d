/**
 * The initramfs of a lab machine: busybox, pmsm-restore, and the modules of a stock kernel. The same one boots the host
 * and makes a standby, so that both have the same memory layout.
 */
import { chmodSync, copyFileSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { PmsmError } from '../agent/wire/errors.ts';
import { type Artefact, type BuildContext, cached, digestOf } from './cache.ts';
import type { KernelImage } from './kernel.ts';
import { nativeHelpers, RESTORE } from './native.ts';
import { inTree } from './paths.ts';
import { run } from './processes.ts';
import { bytesText, type Progress } from './progress.ts';

export const INITRAMFS = 'initramfs.img';
/** It is unpacked into memory that the arriving machine's image needs, too. */
const SIZE_MAX = 12 * 1024 * 1024;
const BUSYBOX = '/usr/bin/busybox';
const DIRECTORIES = ['bin', 'sbin', 'dev', 'proc', 'sys', 'run', 'root', 'tmp', 'lib/pmsm'];
const RECIPE_VERSION = 1;

export async function initramfs(kernel: KernelImage, progress: Progress): Promise<Artefact> {
  const helpers = await nativeHelpers(progress);
  const applets = await run([BUSYBOX, '--list-full']);
  return cached(
    {
      name: 'initramfs',
      title: 'Packing the initramfs',
      inputs: {
        version: RECIPE_VERSION,
        helpers,
        init: { file: 'agent/target/init' },
        standby: { file: 'agent/target/standby.sh' },
        busybox: digestOf({ applets, bytes: statSync(BUSYBOX).size }),
        modules: kernel.modules?.artefact ?? 'none',
      },
      build: async (directory, context) => {
        const root = resolve(directory, 'root');
        for (const name of DIRECTORIES) mkdirSync(resolve(root, name), { recursive: true });
        place(BUSYBOX, resolve(root, 'bin/busybox'));
        await link(root, applets, context);
        place(inTree('agent/target/init'), resolve(root, 'init'));
        place(inTree('agent/target/standby.sh'), resolve(root, 'lib/pmsm/standby.sh'));
        place(helpers.path(RESTORE), resolve(root, 'sbin', RESTORE));
        if (kernel.modules) await addModules(root, kernel.modules, context);
        await pack(directory, context);
      },
    },
    progress,
  );
}

function place(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
  chmodSync(to, 0o755);
}

/** Applets as hard links: they take no room in the archive and none in memory. */
async function link(root: string, applets: string, context: BuildContext): Promise<void> {
  const names = applets.split('\n').map((applet) => applet.split('/').at(-1) ?? '');
  const wanted = [...new Set(names)].filter((name) => name !== '' && name !== 'busybox');
  const targets = wanted.filter((name) => !existsSync(resolve(root, 'bin', name)));
  const script = 'cd "$1"; shift; for name; do ln busybox "$name"; done';
  await context.run(['sh', '-euc', script, 'sh', resolve(root, 'bin'), ...targets]);
}

async function addModules(
  root: string,
  modules: NonNullable<KernelImage['modules']>,
  context: BuildContext,
): Promise<void> {
  const { artefact, onHost } = modules;
  await context.run(['cp', '-r', artefact.path('lib/modules'), resolve(root, 'lib/')]);
  writeFileSync(resolve(root, 'lib/pmsm/modules'), `${onHost.join('\n')}\n`);
}

async function pack(directory: string, context: BuildContext): Promise<void> {
  const script =
    'cd "$1/root"; find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0' +
    ' | zstd -q -19 -o "$1/$2"; rm -rf "$1/root"';
  await context.run(['sh', '-euc', script, 'sh', directory, INITRAMFS]);
  const bytes = statSync(resolve(directory, INITRAMFS)).size;
  if (bytes > SIZE_MAX) {
    throw new PmsmError(
      'build-failed',
      `the initramfs has ${bytesText(bytes)}, more than ${bytesText(SIZE_MAX)}`,
    );
  }
}
