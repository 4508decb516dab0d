/**
 * The kernel of the lab: Debian's linux-source-6.12 with the series of kernel-patches, configured for emulated
 * machines. Source and target boot the same build.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { resolve } from 'node:path';
import { PmsmError } from '../agent/wire/errors.ts';
import { type Artefact, type BuildContext, cached, type FileInput } from './cache.ts';
import { stockKernel } from './kernel-stock.ts';
import type { LabOptions } from './options.ts';
import { inTree } from './paths.ts';
import { type Progress, textProgress } from './progress.ts';
import { PrivateApt } from './setup/apt.ts';
import { requireSpace } from './setup/packages.ts';

/** A kernel as a machine boots it. */
export interface KernelImage {
  kind: LabOptions['kernel'];
  /** The file for QEMU's -kernel. */
  image: string;
  /** Names the build for the cache keys of what depends on it. */
  artefact: Artefact;
  /** Drivers that a kernel without them built in needs. */
  modules?: { artefact: Artefact; onHost: string[] };
}

const SOURCE_PACKAGE = 'linux-source-6.12';
/** The version that the series was made on; a newer 6.12 is taken, with a message, when it is gone. */
const PINNED = '6.12.117-1';
const SERIES = 'kernel-patches/6.12';
const CONFIGS = `${SERIES}/config`;
const CONFIG = `${CONFIGS}/lab.config`;
const BZIMAGE = 'arch/x86/boot/bzImage';
/** What user space sees of the series; for the tests of it. */
const SNAPSHOT_HEADER = 'include/uapi/linux/suspend_ioctls.h';
/** Lines that make prints for a whole build of lab.config; only the progress depends on it. */
const EXPECTED_LINES = 2250;
const RECIPE_VERSION = 2;

type PatchedKind = Exclude<LabOptions['kernel'], 'stock'>;

/** What a build has on top of lab.config; its lines win. */
const FRAGMENTS: Readonly<Partial<Record<PatchedKind, string>>> = {
  hardened: `${CONFIGS}/hardened.config`,
  debug: `${CONFIGS}/debug.config`,
};

export function labKernel(kind: LabOptions['kernel'], progress: Progress): Promise<KernelImage> {
  return kind === 'stock' ? stockKernel(progress) : patchedKernel(kind, progress);
}

/** The unpacked, unpatched source. */
export async function ensureKernelSource(progress: Progress = textProgress()): Promise<string> {
  return (await kernelSource(progress)).path('linux');
}

function kernelSource(progress: Progress): Promise<Artefact> {
  return cached(
    {
      name: 'kernel-source',
      title: `Fetching ${SOURCE_PACKAGE}`,
      inputs: { version: 1, pinned: PINNED },
      keep: 1,
      build: async (directory, context) => {
        requireSpace();
        const apt = await PrivateApt.open(progress, context.log);
        const version = chooseVersion(await apt.versions(SOURCE_PACKAGE), PINNED);
        if (!matchesPin(version, PINNED)) {
          progress.note(`${SOURCE_PACKAGE} ${PINNED} is not to be had any more: taking ${version}`);
        }
        const deb = await apt.download(SOURCE_PACKAGE, version, directory, context.log);
        context.step.detail('unpacking');
        await context.run(['dpkg-deb', '-x', deb, resolve(directory, 'deb')]);
        const tar = resolve(directory, `deb/usr/src/${SOURCE_PACKAGE}.tar.xz`);
        await context.run(['tar', '-xf', tar, '-C', directory]);
        await context.run(['mv', resolve(directory, SOURCE_PACKAGE), resolve(directory, 'linux')]);
        await context.run(['rm', '-rf', deb, resolve(directory, 'deb')]);
        writeManifest(directory, { package: SOURCE_PACKAGE, pinned: PINNED, version });
      },
    },
    progress,
  );
}

function matchesPin(version: string, pinned: string): boolean {
  return version === pinned || version.startsWith(`${pinned}~`) || version.startsWith(`${pinned}+`);
}

/** The pinned version, in the build for any release, else the newest of the same series. */
export function chooseVersion(newestFirst: string[], pinned: string): string {
  const series = pinned.split('.').slice(0, 2).join('.');
  const candidates = newestFirst.filter((version) => version.startsWith(`${series}.`));
  const chosen = candidates.find((version) => matchesPin(version, pinned)) ?? candidates[0];
  if (chosen === undefined) {
    throw new PmsmError('build-failed', `the Debian mirror offers no ${SOURCE_PACKAGE}`);
  }
  return chosen;
}

/** The patches in their order; none while there is no series. What only documents them changes no kernel. */
export function seriesFiles(): FileInput[] {
  const series = `${SERIES}/series`;
  if (!existsSync(inTree(series))) return [];
  const names = readFileSync(inTree(series), 'utf8').split('\n');
  const patches = names.map((name) => name.trim()).filter((name) => name && !name.startsWith('#'));
  return patches.map((name) => ({ file: `${SERIES}/${name}` }));
}

async function patchedKernel(kind: PatchedKind, progress: Progress): Promise<KernelImage> {
  const source = await kernelSource(progress);
  const fragment = FRAGMENTS[kind];
  const config = [{ file: CONFIG }, ...(fragment ? [{ file: fragment }] : [])];
  const artefact = await cached(
    {
      name: kind === 'patched' ? 'kernel' : `kernel-${kind}`,
      title: `Building the ${kind} lab kernel`,
      inputs: {
        version: RECIPE_VERSION,
        source,
        series: seriesFiles(),
        config: { file: CONFIG },
        ...(fragment && { fragment: { file: fragment } }),
      },
      build: async (directory, context) => {
        requireSpace();
        const tree = resolve(directory, 'linux');
        context.step.detail('copying and patching the source');
        await context.run(['cp', '-r', '--reflink=auto', source.path('linux'), tree]);
        await applySeries(tree, context);
        await configure(tree, config, context);
        await compile(tree, context);
        await context.run(['cp', resolve(tree, BZIMAGE), resolve(directory, 'bzImage')]);
        await context.run(['cp', resolve(tree, '.config'), resolve(directory, 'config')]);
        await context.run(['cp', resolve(tree, 'System.map'), directory]);
        await context.run(['cp', resolve(tree, SNAPSHOT_HEADER), directory]);
        const compiler = (await context.run(['gcc', '-dumpfullversion'])).trim();
        const release = (await context.run(['make', '-s', '-C', tree, 'kernelrelease'])).trim();
        await context.run(['rm', '-rf', tree]);
        const patches = seriesFiles().map(({ file }) => file);
        writeManifest(directory, { release, source: source.digest, patches, compiler });
      },
    },
    progress,
  );
  return { kind, image: artefact.path('bzImage'), artefact };
}

async function applySeries(tree: string, context: BuildContext): Promise<void> {
  for (const { file } of seriesFiles()) {
    const options = ['-p1', '--fuzz=0', '--no-backup-if-mismatch', '-i', inTree(file)];
    await context.run(['patch', '-d', tree, ...options]);
  }
}

/** A kernel build names itself by what it was made from, so that preflight can tell two builds apart. */
function buildEnvironment(digest: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    KBUILD_BUILD_USER: 'pmsm',
    KBUILD_BUILD_HOST: 'lab',
    KBUILD_BUILD_VERSION: digest,
    KBUILD_BUILD_TIMESTAMP: 'Thu Jan  1 00:00:00 UTC 2026',
  };
}

async function configure(
  tree: string,
  config: readonly FileInput[],
  context: BuildContext,
): Promise<void> {
  const whole = resolve(tree, 'pmsm.config');
  writeFileSync(whole, config.map(({ file }) => readFileSync(inTree(file), 'utf8')).join('\n'));
  const env = { ...buildEnvironment(context.digest), KCONFIG_ALLCONFIG: whole };
  await context.run(['make', '-C', tree, 'allnoconfig'], { env });
}

async function compile(tree: string, context: BuildContext): Promise<void> {
  let lines = 0;
  await context.run(['make', '-C', tree, `-j${cpus().length}`, 'bzImage'], {
    env: buildEnvironment(context.digest),
    onLine: (line) => {
      lines += 1;
      context.step.fraction(Math.min(0.99, lines / EXPECTED_LINES));
      context.step.detail(line.trim().slice(0, 60));
    },
  });
}

function writeManifest(directory: string, manifest: Record<string, unknown>): void {
  writeFileSync(resolve(directory, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}
