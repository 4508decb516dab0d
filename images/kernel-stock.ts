/**
 * Debian's own kernel package, unpatched: the kernel that a host already has. Its drivers are modules, so the ones that
 * a lab machine needs are taken out of the package, with all that they depend on.
 */
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { PmsmError } from '../agent/wire/errors.ts';
import { type BuildContext, cached } from './cache.ts';
import type { KernelImage } from './kernel.ts';
import type { Progress } from './progress.ts';
import { PrivateApt } from './setup/apt.ts';

const META_PACKAGE = 'linux-image-amd64';
const SERIES = '6.12.';
const RECIPE_VERSION = 1;

/** Loaded by what the machine is made of, in host and standby. */
const BY_DEVICE: Record<string, string> = {
  ahci: 'the default disk',
  nvme: '--disk nvme',
  virtio_blk: '--disk virtio',
  virtio_pci: 'bus of the virtio devices',
  virtio_net: '--nic virtio',
  e1000e: 'the default NIC',
  macvlan: '--single-nic',
};

/** Loaded on a host before its root is mounted, because the disk of the lab holds no modules. */
const ON_HOST: Record<string, string> = {
  sd_mod: 'disks behind AHCI',
  ext4: 'the root file system',
  crc32c_generic: 'checksums of ext4, where the CPU has no instruction in use',
  nf_tables: 'the quarantine',
  inet_diag: 'sockets by name',
  tcp_diag: 'closes inherited sockets silently',
  udp_diag: 'sockets by name',
  unix_diag: 'sockets by name',
  af_packet: 'announcements',
  bonding: 'a quarantine covers bonds',
  '8021q': 'a quarantine covers VLANs',
  dummy: 'tests of inventory',
  veth: 'containers as a service',
  bridge: 'containers as a service',
  overlay: 'containers as a service',
  fuse: 'the freezer has to cope with it',
  autofs4: 'systemd',
};

/** Names that some 6.12 configurations have built in or call otherwise. */
const MAY_BE_ABSENT = new Set([
  'crc32c_generic',
  'autofs4',
  'af_packet',
  'unix_diag',
  'virtio_pci',
]);

export async function stockKernel(progress: Progress): Promise<KernelImage> {
  const artefact = await cached(
    {
      name: 'kernel-stock',
      title: "Fetching Debian's stock kernel",
      inputs: {
        version: RECIPE_VERSION,
        modules: [...Object.keys(BY_DEVICE), ...Object.keys(ON_HOST)],
      },
      build: (directory, context) => fetchKernel(directory, context, progress),
    },
    progress,
  );
  const onHost = readFileSync(artefact.path('on-host'), 'utf8').trim().split('\n');
  return {
    kind: 'stock',
    image: artefact.path('vmlinuz'),
    artefact,
    modules: { artefact, onHost },
  };
}

async function fetchKernel(
  directory: string,
  context: BuildContext,
  progress: Progress,
): Promise<void> {
  const apt = await PrivateApt.open(progress, context.log);
  const meta = (await apt.versions(META_PACKAGE)).find((version) => version.startsWith(SERIES));
  const name = meta && (await apt.dependsOn(`${META_PACKAGE}=${meta}`)).find(isKernelImage);
  const version = name && (await apt.versions(name))[0];
  if (!name || !version) {
    throw new PmsmError('build-failed', `the Debian mirror offers no ${META_PACKAGE} ${SERIES}x`);
  }
  const deb = await apt.download(name, version, directory, context.log);
  const unpacked = resolve(directory, 'deb');
  await context.run(['dpkg-deb', '-x', deb, unpacked]);
  const [image] = globSync(resolve(unpacked, 'boot/vmlinuz-*'));
  const [modules] = globSync(resolve(unpacked, '{usr/,}lib/modules/*'));
  if (!image || !modules) throw new PmsmError('build-failed', `${name} holds no kernel`);
  await context.run(['cp', image, resolve(directory, 'vmlinuz')]);
  await takeModules(directory, modules, context);
  await context.run(['rm', '-rf', deb, unpacked]);
  const manifest = { package: name, version, release: basename(modules) };
  writeFileSync(resolve(directory, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

function isKernelImage(name: string): boolean {
  return /^linux-image-6\.12\.[^-]+(-\d+)?-amd64$/.test(name);
}

async function takeModules(directory: string, from: string, context: BuildContext): Promise<void> {
  const release = basename(from);
  const wanted = [...Object.keys(BY_DEVICE), ...Object.keys(ON_HOST)];
  await context.run(['depmod', '-b', depmodBase(from), release]);
  const dependencies = parseDependencies(readFileSync(resolve(from, 'modules.dep'), 'utf8'));
  const builtin = readFileSync(resolve(from, 'modules.builtin'), 'utf8');
  const present = wanted.filter((module) => {
    if (dependencies.has(module)) return true;
    if (builtin.includes(`/${module}.ko`) || builtin.includes(`/${dashed(module)}.ko`))
      return false;
    if (MAY_BE_ABSENT.has(module)) return false;
    throw new PmsmError('build-failed', `the stock kernel ${release} has no module ${module}`);
  });
  const to = resolve(directory, 'lib/modules', release);
  for (const file of closure(present, dependencies)) {
    mkdirSync(dirname(resolve(to, file)), { recursive: true });
    await context.run(['cp', resolve(from, file), resolve(to, file)]);
  }
  for (const name of ['modules.order', 'modules.builtin', 'modules.builtin.modinfo']) {
    if (existsSync(resolve(from, name))) await context.run(['cp', resolve(from, name), to]);
  }
  // Unpacked: the archive as a whole compresses better, and not every modprobe can unpack.
  await context.run(['sh', '-euc', 'find "$1" -name "*.ko.xz" -exec xz -d {} +', 'sh', to]);
  await context.run(['depmod', '-b', directory, release]);
  const onHost = Object.keys(ON_HOST).filter((module) => present.includes(module));
  writeFileSync(resolve(directory, 'on-host'), `${onHost.join('\n')}\n`);
}

function depmodBase(modules: string): string {
  // depmod wants the directory that holds lib/modules, where the package may have usr/lib/modules.
  return resolve(modules, '../../..');
}

const dashed = (module: string): string => module.replaceAll('_', '-');

/** modules.dep: each module's file, and the files that it depends on, by module name. */
export function parseDependencies(text: string): Map<string, { file: string; needs: string[] }> {
  const table = new Map<string, { file: string; needs: string[] }>();
  for (const line of text.split('\n')) {
    const [file, rest] = line.split(':');
    if (!file || rest === undefined) continue;
    table.set(moduleName(file), { file, needs: rest.trim().split(/\s+/).filter(Boolean) });
  }
  return table;
}

export function moduleName(file: string): string {
  return basename(file)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');
}

/** The files of some modules and of all that they need. */
export function closure(
  modules: string[],
  table: Map<string, { file: string; needs: string[] }>,
): string[] {
  const files = new Set<string>();
  for (const module of modules) {
    const entry = table.get(module.replaceAll('-', '_'));
    if (!entry) continue;
    files.add(entry.file);
    // modules.dep lists the dependencies of dependencies, too.
    for (const file of entry.needs) files.add(file);
  }
  return [...files].sort();
}
