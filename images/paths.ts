/** Where things are: the tree, and the cache for everything that is built, which lies outside the tree. */
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, resolve } from 'node:path';
import { PmsmError } from '../agent/wire/errors.ts';

export const TREE = resolve(import.meta.dirname, '..');

/** The artefact cache; made if it is missing, since it may vanish at any time. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const base = env.XDG_CACHE_HOME || resolve(homedir(), '.cache');
  const directory = env.PMSM_CACHE ? resolve(env.PMSM_CACHE) : resolve(base, 'pmsm');
  makeDirectory(directory);
  return directory;
}

/** Level by level: with `recursive`, Node never returns where a file system refuses (as below /proc). */
function makeDirectory(directory: string): void {
  if (existsSync(directory)) return;
  makeDirectory(dirname(directory));
  try {
    mkdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    throw new PmsmError(
      'missing-prerequisites',
      `The cache ${directory} cannot be made: ${code}. Name another directory with PMSM_CACHE.`,
    );
  }
}

export function inTree(...parts: string[]): string {
  return resolve(TREE, ...parts);
}
