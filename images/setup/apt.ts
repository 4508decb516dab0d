/**
 * Debian packages of other releases than the host's, fetched through a private apt root.
 *
 * apt gets a state directory, a cache and sources of its own below the artefact cache, so the host's apt is neither
 * changed nor needed as root. The mirrors are those of the host's own apt configuration; no host name is known here.
 */
import { existsSync, globSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { PmsmError } from '../../agent/wire/errors.ts';
import { lock } from '../cache.ts';
import { cacheDirectory } from '../paths.ts';
import { CommandError, run } from '../processes.ts';
import type { Progress } from '../progress.ts';

export interface Mirrors {
  /** The host's own release, such as bookworm. */
  codename: string;
  main: string;
  security: string | undefined;
}

const LISTS_MAX_AGE_MS = 6 * 3600 * 1000;
/** The release that the kernel and MariaDB come from. */
export const STABLE = 'trixie';

/** One line of `apt-get indextargets`: address, release and component of a configured source. */
interface IndexTarget {
  address: string;
  release: string;
  component: string;
}

export function parseIndexTargets(text: string): IndexTarget[] {
  return text.split('\n').flatMap((line) => {
    const [address, release, component, kind] = line.split('|');
    if (!address || !release || !component || kind !== 'Packages') return [];
    return [{ address, release, component }];
  });
}

export function chooseMirrors(targets: IndexTarget[], codename: string): Mirrors {
  const find = (release: string): string | undefined =>
    targets.find((target) => target.release === release && target.component === 'main')?.address;
  const main = find(codename);
  if (main === undefined) {
    throw new PmsmError(
      'missing-prerequisites',
      `apt has no source for Debian ${codename} (main): \`apt-get indextargets\` lists what it has.`,
    );
  }
  return { codename, main, security: find(`${codename}-security`) };
}

export async function hostMirrors(): Promise<Mirrors> {
  const codename = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  if (codename === undefined) {
    throw new PmsmError('missing-prerequisites', 'pmsm builds on Debian 12 or 13 only.');
  }
  const format = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(CREATED_BY)';
  const text = await run(['apt-get', 'indextargets', '--format', format]);
  return chooseMirrors(parseIndexTargets(text), codename);
}

/** The keys that Debian's archive signs with, as the host has them. */
export function archiveKeyring(): string {
  const [keyring] = globSync('/usr/share/keyrings/debian-archive-keyring.{gpg,pgp}');
  if (keyring !== undefined) return keyring;
  throw new PmsmError('missing-prerequisites', 'Install debian-archive-keyring.');
}

/** sources.list lines of a suite. "sid" may be past its validity date on a mirror; nothing else may. */
export function sourceLines(mirrors: Mirrors, suites: string[], keyring: string): string[] {
  return suites.flatMap((suite) => {
    const address = suite.endsWith('-security') ? mirrors.security : mirrors.main;
    if (address === undefined) return [];
    const dated = suite === 'sid' ? ' check-valid-until=no' : '';
    return [`deb [arch=amd64 signed-by=${keyring}${dated}] ${address} ${suite} main`];
  });
}

/** An apt of our own, with the stable release and its security updates, and the host's own security updates. */
export class PrivateApt {
  readonly #options: string[];
  private constructor(options: string[]) {
    this.#options = options;
  }

  static async open(progress: Progress, log: string): Promise<PrivateApt> {
    const unlock = await lock('apt', progress);
    try {
      return await PrivateApt.#openLocked(log);
    } finally {
      unlock();
    }
  }

  static async #openLocked(log: string): Promise<PrivateApt> {
    const base = resolve(cacheDirectory(), 'apt');
    const mirrors = await hostMirrors();
    const own = [mirrors.codename, `${mirrors.codename}-security`];
    const suites = [...new Set([STABLE, `${STABLE}-security`, ...own])];
    for (const part of ['lists/partial', 'archives/partial', 'parts']) {
      mkdirSync(resolve(base, part), { recursive: true });
    }
    const list = resolve(base, 'sources.list');
    const lines = `${sourceLines(mirrors, suites, archiveKeyring()).join('\n')}\n`;
    const changed = !existsSync(list) || readFileSync(list, 'utf8') !== lines;
    if (changed) writeFileSync(list, lines);
    if (!existsSync(resolve(base, 'status'))) writeFileSync(resolve(base, 'status'), '');
    const apt = new PrivateApt(privateOptions(base, list));
    const stamp = resolve(base, 'updated');
    const age_ms = existsSync(stamp) ? Date.now() - statSync(stamp).mtimeMs : Number.MAX_VALUE;
    if (changed || age_ms > LISTS_MAX_AGE_MS) {
      await apt.#apt('apt-get', ['update'], { log });
      writeFileSync(stamp, '');
    }
    return apt;
  }

  /** The versions of a package, the newest first. */
  async versions(name: string): Promise<string[]> {
    const text = await this.#apt('apt-cache', ['madison', name]);
    const versions = text.split('\n').flatMap((line) => line.split('|')[1]?.trim() || []);
    return [...new Set(versions)];
  }

  async dependsOn(name: string): Promise<string[]> {
    const text = await this.#apt('apt-cache', ['depends', '--important', name]);
    return [...text.matchAll(/^ {2}Depends: (\S+)$/gm)].flatMap((match) => match[1] ?? []);
  }

  /** Downloads one package into a directory, checked against the signed lists, and returns the file. */
  async download(name: string, version: string, directory: string, log: string): Promise<string> {
    await this.#apt('apt-get', ['download', `${name}=${version}`], { cwd: directory, log });
    const [file] = globSync(`${name}_*.deb`, { cwd: directory });
    if (file === undefined) throw new CommandError(['apt-get', 'download', name], 0, 'no file');
    return resolve(directory, file);
  }

  #apt(
    program: string,
    args: string[],
    options: { cwd?: string; log?: string } = {},
  ): Promise<string> {
    return run([program, ...this.#options, ...args], options);
  }
}

function privateOptions(base: string, list: string): string[] {
  const options: Record<string, string> = {
    'Dir::State': base,
    'Dir::State::Lists': resolve(base, 'lists'),
    'Dir::State::status': resolve(base, 'status'),
    'Dir::Cache': base,
    'Dir::Cache::archives': resolve(base, 'archives'),
    'Dir::Etc::SourceList': list,
    'Dir::Etc::SourceParts': resolve(base, 'parts'),
    'Dir::Etc::Preferences': '/dev/null',
    'Dir::Etc::PreferencesParts': resolve(base, 'parts'),
    'APT::Architecture': 'amd64',
    'APT::Architectures': 'amd64',
    // As root, apt would fetch as a user that cannot write to our directories.
    'APT::Sandbox::User': '',
    'Acquire::Languages': 'none',
    'APT::Get::List-Cleanup': 'true',
  };
  return Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}
