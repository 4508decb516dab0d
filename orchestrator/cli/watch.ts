import type { MigrationView } from '../api/schemas.ts';
import type { Client } from './client.ts';
import type { Console } from './console.ts';
import { describeEnd } from './describe.ts';
import { EXIT, exitCodeOf } from './exit.ts';
import { Progress } from './progress.ts';

/**
 * Follows a migration to its end and says how it ended. Ctrl-C only ends the watching: the
 * migration goes on in the orchestrator.
 */
export async function watch(client: Client, console: Console, id: string): Promise<number> {
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  // Stays to the end of the process: a terminal and a wrapper may both pass on the same Ctrl-C.
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  const progress = new Progress(console.stderr);
  try {
    for await (const event of client.follow(id, interrupted.signal)) progress.show(event);
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    progress.close();
    return detached(console, id);
  } finally {
    progress.close();
  }
  return await conclude(client, console, id);
}

function detached(console: Console, id: string): number {
  console.talk(`Detached; the migration goes on. Watch it: pmsm watch ${id}`);
  console.talk(`Cancel it, as long as it has not passed commit: pmsm cancel ${id}`);
  if (console.json) console.data({ id, detached: true });
  return EXIT.interrupted;
}

async function conclude(client: Client, console: Console, id: string): Promise<number> {
  const migration: MigrationView = await client.migration(id);
  const report = await client.report(id).catch(() => null);
  if (console.json) console.data({ ...migration, report });
  else console.talk(describeEnd(migration, report));
  return exitCodeOf(migration);
}
