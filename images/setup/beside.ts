/**
 * Programs of Debian's stable release beside this machine's own: with the libraries that they were built with, through
 * their own dynamic loader, so that no file of this machine changes and its release does not matter.
 */
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Artefact, cached } from '../cache.ts';
import type { Progress } from '../progress.ts';
import { archiveKeyring, hostMirrors, STABLE, sourceLines } from './apt.ts';

const LIBRARIES = 'usr/lib/x86_64-linux-gnu';

/** The unpacked files of a package and of all that it depends on; nothing of them is set up. */
export function packageBeside(name: string, progress: Progress): Promise<Artefact> {
  return cached(
    {
      name,
      title: `Fetching ${name} (Debian ${STABLE})`,
      inputs: { version: 1, suite: STABLE },
      build: async (directory, { run }) => {
        const lines = sourceLines(await hostMirrors(), [STABLE], archiveKeyring());
        const root = resolve(directory, 'root');
        await run([
          'mmdebstrap',
          '--variant=extract',
          '--mode=auto',
          `--include=${name}`,
          STABLE,
          root,
          ...lines,
        ]);
      },
    },
    progress,
  );
}

/** A file of the package, as its own root would have it. */
export const fileBeside = (artefact: Artefact, path: string): string =>
  resolve(artefact.path('root'), path);

export const libraryBeside = (artefact: Artefact, path: string): string =>
  fileBeside(artefact, `${LIBRARIES}/${path}`);

/** What runs a program of the package. */
export function commandBeside(artefact: Artefact, program: string): string[] {
  const libraries = fileBeside(artefact, LIBRARIES);
  const loader = readdirSync(libraries).find((file) => /^ld-linux.*\.so\.\d+$/.test(file));
  if (loader === undefined) throw new Error(`no dynamic loader in ${libraries}`);
  return [
    resolve(libraries, loader),
    '--library-path',
    libraries,
    fileBeside(artefact, `usr/bin/${program}`),
  ];
}
