import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { PmsmError } from '../../agent/wire/errors.ts';

const LOCK_HELD_EXIT = 1;

/**
 * Two orchestrators with one journal would each hand out the same generation, so a state directory
 * belongs to one process. The lock sits on an open file that this process keeps: flock(1) is given
 * a copy of the descriptor and leaves the lock behind, and the kernel drops it however we die.
 */
export function lockDirectory(directory: string): () => void {
  const path = join(directory, 'lock');
  const descriptor = openSync(path, 'a');
  const flock = spawnSync('flock', ['--nonblock', '3'], {
    stdio: ['ignore', 'ignore', 'pipe', descriptor],
    encoding: 'utf8',
  });
  if (flock.status === 0) return () => closeSync(descriptor);
  closeSync(descriptor);
  if (flock.status === LOCK_HELD_EXIT) {
    throw new PmsmError('conflict', `another orchestrator uses ${directory}; end it first`);
  }
  const why = flock.error?.message ?? flock.stderr.trim();
  throw new PmsmError('internal', `flock(1) could not lock ${path}: ${why}`);
}
