/**
 * The demo's client: one connection that inserts one row a transaction, as fast as the server
 * answers, and must live through every move. It never reconnects, unless it was told to: a connection
 * that breaks stays broken and is reported. Every acknowledged row is recorded with the host's
 * monotonic clock.
 *
 *     inserter.ts CONFIG      (a JSON document, see protocol.ts)
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import { MAX_ERRORS } from '../report/schema.ts';
import {
  addRow,
  CREATE_LEDGER,
  decodeCommits,
  encodeCommit,
  INSERT_ROW,
  LEDGER,
  NO_ROWS,
  parseSummary,
  payloadOf,
  READ_PAGE,
  SUMMARISE,
  type Summary,
  sameRows,
} from './ledger.ts';
import { type Check, type ClientConfig, ClientConfigSchema, OrderSchema } from './protocol.ts';

/** After this many failed statements in a row the load is over; a lost connection ends it at once. */
const MAX_FAILED_IN_A_ROW = 10;

const CONNECT_LIMIT_MS = 60_000;
const SECOND_LOOK_MS = 15_000;
/** Between two attempts to connect anew, and how long each may take. */
const RECONNECT_PAUSE_MS = 100;
const RECONNECT_LIMIT_MS = 1000;

type Row = Record<string, unknown>;

class Inserter {
  readonly #config: ClientConfig;
  /** The one that must survive. */
  readonly #connectionId: number;
  readonly #record: number;
  readonly #errors: string[] = [];
  #connection: mysql.Connection;
  #acknowledged: Summary = NO_ROWS;
  #sequence = 0;
  #broken = false;
  #wanted = false;
  #running: Promise<void> = Promise.resolve();

  constructor(config: ClientConfig, connection: mysql.Connection, connectionId: number) {
    this.#config = config;
    this.#connection = connection;
    this.#connectionId = connectionId;
    this.#record = openSync(config.record_path, 'w', 0o644);
    this.#watch(connection);
  }

  #watch(connection: mysql.Connection): void {
    connection.on('error', (error: Error) => {
      this.#broken = true;
      this.#note('connection', error);
    });
  }

  resume(): void {
    this.#wanted = true;
    say({
      event: 'inserting',
      connection_id: this.#connectionId,
      opened_ns: String(process.hrtime.bigint()),
    });
    this.#running = this.#insertWhileWanted();
  }

  /** Lets the transaction under way end, then compares both records over the same connection. */
  async check(): Promise<void> {
    this.#wanted = false;
    await this.#running;
    say(await this.#compare());
  }

  async stop(): Promise<void> {
    this.#wanted = false;
    await this.#running;
    closeSync(this.#record);
    this.#connection.destroy();
  }

  async #insertWhileWanted(): Promise<void> {
    for (let failed = 0; this.#wanted; ) {
      if (this.#broken && !(this.#config.reconnect && (await this.#reconnect()))) return;
      if (failed >= MAX_FAILED_IN_A_ROW || this.#sequence >= this.#config.max_rows) {
        this.#note('load', new Error(`ended after ${this.#sequence} rows, ${failed} failures`));
        return;
      }
      failed = (await this.#insertOne()) ? 0 : failed + 1;
    }
  }

  /** Tries until it succeeds, or nobody wants rows any more. */
  async #reconnect(): Promise<boolean> {
    this.#connection.destroy();
    while (this.#wanted) {
      try {
        this.#connection = await open(this.#config, RECONNECT_LIMIT_MS);
        this.#watch(this.#connection);
        this.#broken = false;
        return true;
      } catch {
        await sleep(RECONNECT_PAUSE_MS);
      }
    }
    return false;
  }

  async #insertOne(): Promise<boolean> {
    this.#sequence += 1;
    const sequence = this.#sequence;
    const begin_ns = process.hrtime.bigint();
    try {
      await this.#query(INSERT_ROW, [sequence, payloadOf(sequence)]);
    } catch (error) {
      this.#note(`row ${sequence}`, error);
      return false;
    }
    const end_ns = process.hrtime.bigint();
    writeSync(this.#record, encodeCommit({ sequence, begin_ns, end_ns }));
    this.#acknowledged = addRow(this.#acknowledged, sequence);
    return true;
  }

  async #query(sql: string, values: unknown[] = []): Promise<Row[]> {
    if (this.#broken) throw new Error('the connection is broken');
    const timeout = this.#config.query_timeout_ms;
    const [rows] = await this.#connection.query({ sql, values, timeout });
    return Array.isArray(rows) ? (rows as Row[]) : [];
  }

  async #compare(): Promise<Check> {
    const committed = Number(this.#acknowledged.row_count);
    try {
      const [row] = await this.#query('SELECT CONNECTION_ID() AS id');
      const connection_survived = Number(row?.id) === this.#connectionId;
      const lost = await this.#countLost((sql, values) => this.#query(sql, values));
      return this.#result(lost, connection_survived);
    } catch (error) {
      this.#note('check', error);
    }
    try {
      return this.#result(await this.#countLostAnew(), false);
    } catch (error) {
      this.#note('second check', error);
      // Nobody can tell what is there: count nothing as safe.
      return this.#result(committed, false);
    }
  }

  #result(lost: number, connection_survived: boolean): Check {
    const committed = Number(this.#acknowledged.row_count);
    const errors = this.#errors;
    return {
      event: 'checked',
      committed,
      lost,
      connection_survived,
      rows_agree: lost === 0,
      errors,
    };
  }

  /** The connection is gone and the run has failed; what became of the rows is worth knowing. */
  async #countLostAnew(): Promise<number> {
    const connection = await open(this.#config, SECOND_LOOK_MS);
    try {
      return await this.#countLost(async (sql, values) => {
        const timeout = this.#config.query_timeout_ms;
        const [rows] = await connection.query({ sql, values, timeout });
        return rows as Row[];
      });
    } finally {
      connection.destroy();
    }
  }

  async #countLost(query: (sql: string, values: unknown[]) => Promise<Row[]>): Promise<number> {
    const [summary] = await query(SUMMARISE, []);
    if (sameRows(parseSummary(summary ?? {}), this.#acknowledged)) return 0;
    // The slow way, row by row: how many acknowledged rows are missing or differ.
    const missing = new Set(
      decodeCommits(readFileSync(this.#config.record_path)).map((commit) => commit.sequence),
    );
    for (let after = 0; ; ) {
      const page = await query(READ_PAGE, [after]);
      if (page.length === 0) return missing.size;
      for (const row of page) {
        after = Number(row.sequence);
        if (row.payload === payloadOf(after)) missing.delete(after);
      }
    }
  }

  #note(what: string, error: unknown): void {
    const { fatal, code } = error as { fatal?: boolean; code?: string };
    // After a timeout the answer may still come; mysql2 would take it for that of the next statement,
    // which it therefore never sends.
    if (fatal || code === 'PROTOCOL_SEQUENCE_TIMEOUT') this.#broken = true;
    if (this.#broken && this.#config.reconnect) return;
    const message = `${what}: ${(error as Error).message}`.slice(0, 1000);
    if (this.#errors.length < MAX_ERRORS) this.#errors.push(message);
    say({ event: 'failed', message });
  }
}

function say(event: object): void {
  writeSync(1, `${JSON.stringify(event)}\n`);
}

function open(config: ClientConfig, connectTimeout: number): Promise<mysql.Connection> {
  return mysql.createConnection({
    host: config.host,
    port: config.port,
    user: config.user,
    password: config.password,
    database: config.database,
    supportBigNumbers: true,
    bigNumberStrings: true,
    connectTimeout,
  });
}

async function connect(config: ClientConfig): Promise<Inserter> {
  const connection = await open(config, CONNECT_LIMIT_MS);
  await connection.query(`DROP TABLE IF EXISTS ${LEDGER}`);
  await connection.query(CREATE_LEDGER);
  const [rows] = await connection.query('SELECT CONNECTION_ID() AS id');
  return new Inserter(config, connection, Number((rows as { id: unknown }[])[0]?.id));
}

async function main(): Promise<void> {
  const config = ClientConfigSchema.parse(JSON.parse(process.argv[2] ?? '{}'));
  const inserter = await connect(config);
  inserter.resume();
  // The demo's end is our end: without orders nobody would ever stop us.
  for await (const line of createInterface({ input: process.stdin })) {
    const { order } = OrderSchema.parse(JSON.parse(line));
    if (order === 'stop') break;
    if (order === 'check') await inserter.check();
    if (order === 'resume') inserter.resume();
  }
  await inserter.stop();
  process.exit(0);
}

// Ctrl-C reaches the whole process group; the demo decides when this process ends.
process.on('SIGINT', () => {});
try {
  await main();
} catch (error) {
  say({ event: 'failed', message: (error as Error).message });
  process.exit(1);
}
