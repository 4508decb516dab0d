/** sysbench of Debian's stable release, so that it can log in to MySQL 9 whatever the release of this machine. */
import type { Artefact } from '../../../cache.ts';
import type { Progress } from '../../../progress.ts';
import { commandBeside, fileBeside, libraryBeside, packageBeside } from '../../../setup/beside.ts';

export const sysbench = (progress: Progress): Promise<Artefact> =>
  packageBeside('sysbench', progress);

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
  const argv = [
    ...commandBeside(artefact, 'sysbench'),
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
  const env = { MARIADB_PLUGIN_DIR: libraryBeside(artefact, 'libmariadb3/plugin') };
  return { argv, cwd: fileBeside(artefact, 'usr/share/sysbench'), env };
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
