import type { FastifyReply, FastifyRequest } from 'fastify';
import { PmsmError } from '../../agent/wire/errors.ts';
import type { Migration, MigrationEvent } from '../store/record.ts';
import type { EventLog } from '../workflow/events.ts';
import { isFinal } from '../workflow/state.ts';

const FOLLOWERS_MAX = 64;
/** Proxies and clients take silence for death. */
const HEARTBEAT_MS = 10_000;
const UNREAD_BYTES_MAX = 1024 * 1024;

/** Those who follow migrations live, over text/event-stream. */
export class Followers {
  readonly #events: EventLog;
  #count = 0;

  constructor(events: EventLog) {
    this.#events = events;
  }

  /**
   * First what was missed since Last-Event-ID, then what comes, until the event `end`. A migration
   * that has ended gives what there is and ends.
   */
  add(migration: Migration, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    if (this.#count >= FOLLOWERS_MAX) throw new PmsmError('conflict', 'too many followers');
    this.#count++;
    const stream = reply.hijack().raw;
    stream.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    const heartbeat = setInterval(() => stream.write(': still here\n\n'), HEARTBEAT_MS);
    let ended = false;
    const stop = this.#events.follow(migration.id, lastSeen(request), (event) => {
      stream.write(toFrame(event));
      if (stream.writableLength > UNREAD_BYTES_MAX) stream.destroy();
      if (event.kind !== 'end') return;
      ended = true;
      stream.end();
    });
    stream.on('close', () => {
      this.#count--;
      clearInterval(heartbeat);
      stop();
    });
    if (!ended && isFinal(migration.state)) stream.end();
    return reply;
  }
}

function lastSeen(request: FastifyRequest): number {
  const value = Number(request.headers['last-event-id'] ?? 0);
  return Number.isSafeInteger(value) && value > 0 ? value : 0;
}

function toFrame(event: MigrationEvent): string {
  return `id: ${event.sequence}\nevent: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`;
}
