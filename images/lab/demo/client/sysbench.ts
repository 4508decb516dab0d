/**
 * sysbench of Debian's stable release, with the libraries that it was built with, so that it can log
 * in to MySQL 9 whatever the release of this machine. It runs through its own dynamic loader: no
 * file of this machine changes.
 */
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Artefact, cached } from '../../../cache.ts';
import type { Progress } from '../../../progress.ts';
import { archiveKeyring, hostMirrors, STABLE, sourceLines } from '../../../setup/apt.ts';

const LIBRARIES = 'usr/lib/x86_64-linux-gnu';

export function sysbench(progress: Progress): Promise<Artefact> {
  return cached(
    {
      name: 'sysbench',
      title: `Fetching sysbench (Debian ${STABLE})`,
      inputs: { version: 1, suite: STABLE },
      build: async (directory, { run }) => {
        const lines = sourceLines(await hostMirrors(), [STABLE], archiveKeyring());
        const root = resolve(directory, 'root');
        await run([
          'mmdebstrap',
          '--variant=extract',
          '--mode=auto',
          '--include=sysbench',
          STABLE,
          root,
          ...lines,
        ]);
      },
    },
    progress,
  );
}

export interface SysbenchTarget {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly tables: number;
  readonly rows: number;
  readonly threads: number;
}

/** The command and the directory and environment that it needs. */
export function sysbenchCommand(
  artefact: Artefact,
  target: SysbenchTarget,
  ...verb: string[]
): { argv: string[]; cwd: string; env: Record<string, string> } {
  const root = artefact.path('root');
  const libraries = resolve(root, LIBRARIES);
  const loader = readdirSync(libraries).find((file) => /^ld-linux.*\.so\.\d+$/.test(file));
  if (loader === undefined) throw new Error(`no dynamic loader in ${libraries}`);
  const argv = [
    resolve(libraries, loader),
    '--library-path',
    libraries,
    resolve(root, 'usr/bin/sysbench'),
    './oltp_read_write.lua',
    '--db-driver=mysql',
    `--mysql-host=${target.host}`,
    `--mysql-port=${target.port}`,
    `--mysql-user=${target.user}`,
    `--mysql-password=${target.password}`,
    `--mysql-db=${target.database}`,
    `--tables=${target.tables}`,
    `--table-size=${target.rows}`,
    `--threads=${target.threads}`,
    ...verb,
  ];
  const env = { MARIADB_PLUGIN_DIR: resolve(libraries, 'libmariadb3/plugin') };
  return { argv, cwd: resolve(root, 'usr/share/sysbench'), env };
}

export interface SysbenchErrors {
  readonly ignored: number;
  readonly reconnects: number;
}

/**
 * Adds up the lines of `--report-interval=1`. Deadlocks between its own transactions are ignored
 * errors too and part of this load; a reconnect is always a broken connection.
 */
export function countErrors(output: string): SysbenchErrors {
  let ignored = 0;
  let reconnects = 0;
  for (const match of output.matchAll(/err\/s: ([\d.]+) reconn\/s: ([\d.]+)/g)) {
    ignored += Number(match[1]);
    reconnects += Number(match[2]);
  }
  return { ignored: Math.round(ignored), reconnects: Math.round(reconnects) };
}
