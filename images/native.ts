/** The helpers of the frozen phase, built as agent/native's own Makefile says. */
import { resolve } from 'node:path';
import { type Artefact, cached, filesBelow } from './cache.ts';
import { inTree } from './paths.ts';
import type { Progress } from './progress.ts';

export const FREEZE = 'pmsm-freeze';
export const RESTORE = 'pmsm-restore';

export function nativeHelpers(progress: Progress): Promise<Artefact> {
  return cached(
    {
      name: 'native',
      title: 'Building pmsm-freeze and pmsm-restore',
      inputs: {
        version: 1,
        files: filesBelow('agent/native', (file) => /\.[ch]$|\/Makefile$|\.mk$/.test(file)),
      },
      build: async (directory, { run }) => {
        const build = resolve(directory, 'build');
        await run(['make', '-C', inTree('agent/native'), `BUILD=${build}`, 'all']);
        await run(['cp', resolve(build, FREEZE), resolve(build, RESTORE), directory]);
        await run(['rm', '-rf', build]);
      },
    },
    progress,
  );
}
