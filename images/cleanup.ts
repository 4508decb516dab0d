/**
 * What must be undone when this process ends, whichever way it ends.
 *
 * One registry for the whole process, because a signal is for the whole process: on SIGINT, SIGTERM and SIGHUP every
 * cleanup runs, the newest first, then the process exits with 128 + the signal's number.
 */
import { constants } from 'node:os';

type Cleanup = () => void | Promise<void>;

/** After this long the process leaves; what is left then ends by its parent-death signal. */
const CLEANUP_LIMIT_MS = 15_000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const cleanups: Cleanup[] = [];
let installed = false;
let interruptedBy: NodeJS.Signals | undefined;

/** Registers a cleanup for interruption; the returned function takes it back once it is not needed any more. */
export function onInterrupt(cleanup: Cleanup): () => void {
  install();
  cleanups.push(cleanup);
  return () => {
    const index = cleanups.lastIndexOf(cleanup);
    if (index >= 0) cleanups.splice(index, 1);
  };
}

export function wasInterrupted(): boolean {
  return interruptedBy !== undefined;
}

function install(): void {
  if (installed) return;
  installed = true;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      // A second Ctrl-C while the cleanups run would only leave things behind.
      if (interruptedBy) return;
      interruptedBy = signal;
      setTimeout(() => leave(signal), CLEANUP_LIMIT_MS).unref();
      void runCleanups().finally(() => leave(signal));
    });
  }
}

async function runCleanups(): Promise<void> {
  for (let cleanup = cleanups.pop(); cleanup; cleanup = cleanups.pop()) {
    try {
      await cleanup();
    } catch (error) {
      process.stderr.write(`while cleaning up: ${(error as Error).message}\n`);
    }
  }
}

function leave(signal: NodeJS.Signals): never {
  process.exit(128 + constants.signals[signal]);
}
