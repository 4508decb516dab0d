/** QEMU's machine protocol: one JSON object a line over a unix socket. Only what a lab needs of it. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';

const messageSchema = z.union([
  z.looseObject({ return: z.unknown() }),
  z.looseObject({ error: z.looseObject({ class: z.string(), desc: z.string() }) }),
  z.looseObject({ event: z.string(), data: z.record(z.string(), z.unknown()).optional() }),
  z.looseObject({ QMP: z.unknown() }),
]);

type Message = z.infer<typeof messageSchema>;

const statusSchema = z.looseObject({ running: z.boolean(), status: z.string() });
const migrationSchema = z.looseObject({
  status: z.string().optional(),
  'error-desc': z.string().optional(),
  'total-time': z.number().default(0),
  downtime: z.number().default(0),
  ram: z.looseObject({ transferred: z.number() }).optional(),
});

/** What QEMU says of a migration that is complete. */
export interface Migrated {
  /** All of it, the downtime included. */
  readonly total_ms: number;
  /** From the stop of the machine here to its start there. */
  readonly downtime_ms: number;
  readonly sent_bytes: number;
}

/** QEMU listens first and answers once it has all of the machine's memory, which may take it long. */
const CONNECT_LIMIT_MS = 120_000;
const REPLY_LIMIT_MS = 30_000;
const POLL_MS = 20;

interface Waiter {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

export class Qmp {
  readonly #socket: Socket;
  readonly #waiters: Waiter[] = [];
  #closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    createInterface({ input: socket }).on('line', (line) => this.#receive(line));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#closed = true;
      for (const waiter of this.#waiters.splice(0)) waiter.reject(new Error('QEMU has ended'));
    });
  }

  /** Connects as soon as QEMU listens, or fails as soon as `alive` says that it never will. */
  static async connect(path: string, alive: () => boolean): Promise<Qmp> {
    const deadline_ms = performance.now() + CONNECT_LIMIT_MS;
    for (;;) {
      const socket = connect(path);
      try {
        await once(socket, 'connect');
        const qmp = new Qmp(socket);
        await qmp.command('qmp_capabilities', {}, CONNECT_LIMIT_MS);
        return qmp;
      } catch (error) {
        socket.destroy();
        if (!alive() || performance.now() > deadline_ms) throw error;
        await sleep(POLL_MS);
      }
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  async command(
    name: string,
    args: Record<string, unknown> = {},
    limit_ms = REPLY_LIMIT_MS,
  ): Promise<unknown> {
    if (this.#closed) throw new Error('QEMU has ended');
    let timer: NodeJS.Timeout | undefined;
    const reply = new Promise<unknown>((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      timer = setTimeout(() => {
        reject(new Error(`QEMU did not answer ${name}`));
        this.close();
      }, limit_ms);
    });
    this.#socket.write(`${JSON.stringify({ execute: name, arguments: args })}\n`);
    try {
      return await reply;
    } finally {
      clearTimeout(timer);
    }
  }

  async status(): Promise<{ running: boolean; status: string }> {
    return statusSchema.parse(await this.command('query-status'));
  }

  /** Waits for an outgoing migration to end. */
  async migrated(limit_ms: number): Promise<Migrated> {
    const deadline_ms = performance.now() + limit_ms;
    for (;;) {
      const state = migrationSchema.parse(await this.command('query-migrate'));
      if (state.status === 'completed') {
        return {
          total_ms: state['total-time'],
          downtime_ms: state.downtime,
          sent_bytes: state.ram?.transferred ?? 0,
        };
      }
      if (state.status === 'failed' || performance.now() > deadline_ms) {
        throw new Error(`QEMU did not migrate the machine: ${state['error-desc'] ?? state.status}`);
      }
      await sleep(POLL_MS);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(line: string): void {
    const message = parseMessage(line);
    if (message === undefined) {
      this.close();
      return;
    }
    // Replies come in the order of the commands; events and the greeting answer nothing.
    if ('return' in message) this.#waiters.shift()?.resolve(message.return);
    else if ('error' in message) {
      this.#waiters.shift()?.reject(new Error((message.error as { desc: string }).desc));
    }
  }
}

export function parseMessage(line: string): Message | undefined {
  try {
    return messageSchema.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
