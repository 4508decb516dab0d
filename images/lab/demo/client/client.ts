/** The demo's side of the inserter: starts it inside the lab's network and gives it orders. */
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { PmsmError } from '../../../../agent/wire/errors.ts';
import { onInterrupt } from '../../../cleanup.ts';
import type { Commit } from '../gaps.ts';
import { decodeCommits, RECORD_BYTES } from './ledger.ts';
import { type Check, type ClientConfigInput, type ClientEvent, EventSchema } from './protocol.ts';

const INSERTER = new URL('./inserter.ts', import.meta.url).pathname;

/** Longest wait for an answer: a check reads every row, and must outlive a move that goes wrong. */
const CONNECT_LIMIT_MS = 90_000;
const CHECK_LIMIT_MS = 300_000;
const STOP_LIMIT_MS = 5000;

/** Turns a command into one that runs inside the lab's network. */
export type InNetwork = (argv: string[]) => [string, ...string[]];

export class Client {
  readonly #child: ChildProcess;
  readonly #config: ClientConfigInput;
  readonly #events = new EventEmitter<{ event: [ClientEvent]; gone: [] }>();
  readonly #forget: () => void;
  #gone = false;
  #opened_ns = 0n;
  #lastFailure = '';

  private constructor(config: ClientConfigInput, argv: [string, ...string[]]) {
    const [file, ...args] = argv;
    this.#config = config;
    this.#child = spawn(file, args, { detached: true, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#forget = onInterrupt(() => this.stop());
    this.#child.stdin?.on('error', () => undefined);
    this.#child.once('error', (error) => {
      this.#lastFailure = error.message;
    });
    this.#child.once('close', () => {
      this.#gone = true;
      this.#events.emit('gone');
    });
    if (this.#child.stdout !== null) {
      createInterface({ input: this.#child.stdout }).on('line', (line) => this.#hear(line));
    }
  }

  /** Resolves once the client is connected, has made its table and inserts. */
  static async start(config: ClientConfigInput, inNetwork: InNetwork): Promise<Client> {
    const argv = inNetwork([process.execPath, INSERTER, JSON.stringify(config)]);
    const client = new Client(config, argv);
    await client.#next('inserting', CONNECT_LIMIT_MS);
    return client;
  }

  /** When it began to insert, the last time: gaps are counted from here. */
  get opened_ns(): bigint {
    return this.#opened_ns;
  }

  /** What broke last, empty if nothing did. */
  get lastFailure(): string {
    return this.#lastFailure;
  }

  /** Every row acknowledged since the client began to insert the last time. */
  commits(): Commit[] {
    return decodeCommits(readFileSync(this.#config.record_path)).filter(
      (commit) => commit.begin_ns >= this.#opened_ns,
    );
  }

  /** The newest acknowledged row; cheap enough to be asked often. */
  lastCommit(): Commit | undefined {
    const file = openSync(this.#config.record_path, 'r');
    try {
      const records = Math.floor(fstatSync(file).size / RECORD_BYTES);
      if (records === 0) return undefined;
      const record = Buffer.alloc(RECORD_BYTES);
      readSync(file, record, 0, RECORD_BYTES, (records - 1) * RECORD_BYTES);
      return decodeCommits(record)[0];
    } finally {
      closeSync(file);
    }
  }

  /** Pauses the load and compares every row over the connection; `resume` goes on. */
  async check(): Promise<Check> {
    this.#order('check');
    const event = await this.#next('checked', CHECK_LIMIT_MS);
    if (event.event !== 'checked') throw new PmsmError('internal', event.event);
    return event;
  }

  async resume(): Promise<void> {
    this.#order('resume');
    await this.#next('inserting', CONNECT_LIMIT_MS);
  }

  async stop(): Promise<void> {
    this.#forget();
    if (this.#gone) return;
    const gone = once(this.#events, 'gone');
    this.#order('stop');
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_LIMIT_MS);
    await gone;
    clearTimeout(timer);
  }

  #order(order: string): void {
    this.#child.stdin?.write(`${JSON.stringify({ order })}\n`);
  }

  #hear(line: string): void {
    const event = EventSchema.parse(JSON.parse(line));
    if (event.event === 'inserting') this.#opened_ns = event.opened_ns;
    if (event.event === 'failed') this.#lastFailure = event.message;
    this.#events.emit('event', event);
  }

  #next(kind: ClientEvent['event'], limit_ms: number): Promise<ClientEvent> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer);
        this.#events.off('event', onEvent).off('gone', onGone);
      };
      const fail = (detail: string) => {
        leave();
        reject(new PmsmError('lab-failed', `the demo's client: ${detail}`));
      };
      const onGone = () => fail(`ended: ${this.#lastFailure}`);
      const onEvent = (event: ClientEvent) => {
        if (event.event !== kind) return;
        leave();
        resolve(event);
      };
      const timer = setTimeout(() => fail(`no answer within ${limit_ms} ms`), limit_ms);
      this.#events.on('event', onEvent).on('gone', onGone);
      if (this.#gone) onGone();
    });
  }
}
