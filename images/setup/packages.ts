/** What the host must have: Debian packages, /dev/net/tun, disk space. Missing packages are installed if we may. */
import { accessSync, constants, globSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { PmsmError } from '../../agent/wire/errors.ts';
import { cacheDirectory } from '../paths.ts';
import { CommandError, run } from '../processes.ts';
import { bytesText, type Progress, textProgress } from '../progress.ts';

const packageSchema = z.strictObject({
  name: z.string(),
  parts: z.array(z.enum(['lab', 'kernel', 'native', 'test', 'load'])).min(1),
  why: z.string(),
  /** Needed only by who is not root: user ids in the disk have to be mapped then. */
  unprivileged: z.literal(true).optional(),
});

type Package = z.infer<typeof packageSchema>;

/** `load` is only for a demo with `--load oltp`; the others are what `npm test` needs. */
export type Part = Package['parts'][number];

/** A file, because the bootstrap reads it too. Names are the same on Debian 12 and 13. */
export const PACKAGES: readonly Package[] = z
  .array(packageSchema)
  .parse(JSON.parse(readFileSync(resolve(import.meta.dirname, 'packages.json'), 'utf8')));

const LISTS_MAX_AGE_MS = 24 * 3600 * 1000;
const GIB = 1024 ** 3;
const MEMORY_BESIDES_MIB = 768;
/** A kernel tree with its objects, a root file system and its disk, saved machines. */
const SPACE_FOR_BUILDS = 8 * GIB;

const isRoot = (): boolean => process.getuid?.() === 0;

export function neededPackages(parts: Part[], root: boolean): Package[] {
  const table = PACKAGES.filter((entry) => !(root && entry.unprivileged));
  return table.filter((entry) => entry.parts.some((part) => parts.includes(part)));
}

/** Makes sure that everything for these parts is installed, or fails with all that is missing. */
export async function ensurePackages(
  parts: Part[],
  progress: Progress = textProgress(),
): Promise<void> {
  requireDebian();
  const needed = neededPackages(parts, isRoot());
  const installed = await installedPackages(needed.map(({ name }) => name));
  const missing = needed.filter(({ name }) => !installed.has(name));
  if (missing.length === 0) return;
  const become = await privilege();
  if (become === undefined) throw new PmsmError('missing-prerequisites', describeMissing(missing));
  const names = missing.map(({ name }) => name);
  await progress.step(`Installing Debian packages: ${names.join(' ')}`, async (step) => {
    const onLine = (line: string): void => step.detail(line.slice(0, 60));
    try {
      if (listsAreOld()) await run([...become, 'apt-get', 'update'], { onLine });
      await run([...become, ...installCommand(names)], { onLine });
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw new PmsmError('missing-prerequisites', `${describeMissing(missing)}\n${error.stderr}`);
    }
  });
}

export function describeMissing(missing: Package[]): string {
  const width = Math.max(...missing.map(({ name }) => name.length));
  const rows = missing.map(({ name, why }) => `  ${name.padEnd(width)}  ${why}`);
  const names = missing.map(({ name }) => name).join(' ');
  return [
    'These Debian packages are missing:',
    ...rows,
    'Install them with:',
    `  sudo apt-get update && sudo apt-get install --no-install-recommends ${names}`,
  ].join('\n');
}

function installCommand(names: string[]): string[] {
  const options = ['-y', '--no-install-recommends', '-o', 'Dpkg::Use-Pty=0'];
  return ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', 'install', ...options, ...names];
}

/** The prefix that makes a command run as root; undefined if we may not. */
async function privilege(): Promise<string[] | undefined> {
  if (isRoot()) return [];
  try {
    await run(['sudo', '-n', 'true']);
    return ['sudo', '-n'];
  } catch {
    return undefined;
  }
}

async function installedPackages(names: string[]): Promise<Set<string>> {
  const format = `\${db:Status-Abbrev}|\${Package}\n`;
  let text = '';
  try {
    text = await run(['dpkg-query', '-W', '-f', format, ...names]);
  } catch (error) {
    // It fails when it does not know one of the names, and still prints the others: ask again one by one.
    if (!(error instanceof CommandError)) throw error;
    const one = (name: string): Promise<string> =>
      run(['dpkg-query', '-W', '-f', format, name]).catch(() => '');
    text = (await Promise.all(names.map(one))).join('');
  }
  return new Set(
    text.split('\n').flatMap((line) => (line.startsWith('ii') ? (line.split('|')[1] ?? []) : [])),
  );
}

function listsAreOld(): boolean {
  const lists = globSync('/var/lib/apt/lists/*_Packages*');
  if (lists.length === 0) return true;
  const newest_ms = Math.max(...lists.map((file) => statSync(file).ctimeMs));
  return Date.now() - newest_ms > LISTS_MAX_AGE_MS;
}

function requireDebian(): void {
  const release = readFileSync('/etc/os-release', 'utf8');
  if (/^ID=debian$/m.test(release) && /^VERSION_ID="1[23]"$/m.test(release)) return;
  throw new PmsmError('missing-prerequisites', 'pmsm sets itself up on Debian 12 and 13 only.');
}

/** The switch of the lab needs taps. */
export function requireTun(device = '/dev/net/tun'): void {
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
  } catch (error) {
    throw new PmsmError('no-tun', `${device}: ${(error as NodeJS.ErrnoException).code}`);
  }
}

/** Two machines with all their memory, and what QEMU and the clients take besides. */
export function requireMemory(machine_mib: number, file = '/proc/meminfo'): void {
  const available_kib = Number(/^MemAvailable:\s*(\d+)/m.exec(readFileSync(file, 'utf8'))?.[1]);
  const needed_mib = 2 * machine_mib + MEMORY_BESIDES_MIB;
  if (available_kib / 1024 >= needed_mib) return;
  throw new PmsmError(
    'missing-prerequisites',
    `Two machines of ${machine_mib} MiB need ${needed_mib} MiB of memory, ` +
      `${Math.floor(available_kib / 1024)} MiB are available. Choose less with --memory.`,
  );
}

/** Better said before a build of ten minutes than after it. */
export function requireSpace(directory = cacheDirectory(), needed_bytes = SPACE_FOR_BUILDS): void {
  const { bavail, bsize } = statfsSync(directory);
  const free_bytes = bavail * bsize;
  if (free_bytes >= needed_bytes) return;
  throw new PmsmError(
    'no-space',
    `${directory} has ${bytesText(free_bytes)} free and needs ${bytesText(needed_bytes)}.`,
  );
}
