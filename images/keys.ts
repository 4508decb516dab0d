/** The key pairs of the lab: the user's for ssh and the host's. Made per cache, never part of the tree. */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Artefact, cached } from './cache.ts';
import type { Progress } from './progress.ts';

export const USER_KEY = 'user_ed25519';
export const HOST_KEY = 'host_ed25519';
export const KNOWN_HOSTS = 'known_hosts';

export function keys(progress: Progress): Promise<Artefact> {
  return cached(
    {
      name: 'keys',
      title: 'Making the keys of the lab',
      inputs: { version: 2 },
      build: async (directory, { run }) => {
        for (const name of [USER_KEY, HOST_KEY]) {
          const file = resolve(directory, name);
          await run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'pmsm-lab', '-f', file]);
        }
        const host = readFileSync(resolve(directory, `${HOST_KEY}.pub`), 'utf8');
        writeFileSync(resolve(directory, KNOWN_HOSTS), `pmsm-host ${host}`);
      },
    },
    progress,
  );
}
