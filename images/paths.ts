/** Where things are: the tree, and the cache for everything that is built, which lies outside the tree. */
import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { resolve } from 'node:path';

export const TREE = resolve(import.meta.dirname, '..');

/** The artefact cache; made if it is missing, since it may vanish at any time. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const base = env.XDG_CACHE_HOME || resolve(homedir(), '.cache');
  const directory = env.PMSM_CACHE ? resolve(env.PMSM_CACHE) : resolve(base, 'pmsm');
  mkdirSync(directory, { recursive: true });
  return directory;
}

export function inTree(...parts: string[]): string {
  return resolve(TREE, ...parts);
}
