import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { FrameDecoder, FrameEncoder } from '../../agent/wire/codec.ts';
import { errorFromNumber, PmsmError, toPmsmError } from '../../agent/wire/errors.ts';
import { errorMessage } from '../../agent/wire/messages.ts';
import type { HelloMessage, Message } from '../../agent/wire/wire.gen.ts';
import { now_ns } from '../clock.ts';
import { Offsets } from './offsets.ts';

export const HELLO_TIMEOUT_MS = 5000;
export const PING_INTERVAL_MS = 1000;
/** The first pings follow each other closely, so that a sample is there when it is needed. */
const FIRST_PINGS = 8;
const FIRST_PING_INTERVAL_MS = 50;
const SAMPLE_INTERVAL_MS = 5;
const PINGS_OPEN_MAX = 16;
/** What a peer may send in one second; the largest honest burst is one facts message. */
const BYTES_PER_SECOND_MAX = 512 * 1024;
/** The same for a peer that was asked for a digest of each of its frames. */
const CHECK_BYTES_PER_SECOND_MAX = 128 * 1024 * 1024;
/** A peer that does not read its orders is cut off before they fill our memory. */
const UNREAD_BYTES_MAX = 1024 * 1024;
/**
 * A standby answers pings whatever it does. A source does not while it measures or is frozen; how
 * long that may take, the phases' limits say.
 */
const SILENT_STANDBY_MS = 15_000;
const SILENT_OTHERS_MS = 180_000;
const OUR_CYCLES_KHZ = 1_000_000n;

interface LinkEvents {
  /** The peer has said who it is, and was answered. */
  hello: [];
  /** Everything but hello, ping and pong. */
  message: [message: Message];
  /** The connection is over; with the fault of the peer if it made one. */
  closed: [fault: PmsmError | undefined];
}

/**
 * One control connection. Whatever the peer does wrong ends this connection and nothing else; a
 * peer that says `error` has ended it itself.
 */
export class Link extends EventEmitter<LinkEvents> {
  readonly peer_address: string;
  readonly local_address: string;
  hello: HelloMessage | undefined;
  offsets = new Offsets(0n);
  #socket: Socket;
  #decoder = new FrameDecoder();
  #encoder = new FrameEncoder();
  #pings = new Map<bigint, bigint>();
  #cookie = 0n;
  #timer: NodeJS.Timeout;
  /** What we found wrong, or what the peer said when it gave up. */
  #fault: PmsmError | undefined;
  /** Nothing is read any more. */
  #deaf = false;
  #closed = false;
  #quiet = false;
  #budget = { second: 0n, bytes: 0, max: BYTES_PER_SECOND_MAX };
  #heard_ms = performance.now();

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    this.peer_address = plainAddress(socket.remoteAddress);
    this.local_address = plainAddress(socket.localAddress);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', () => {
      // 'close' follows, and says all that is needed.
    });
    socket.on('close', () => this.#finish());
    this.#timer = setTimeout(() => {
      this.fail(new PmsmError('protocol-error', 'no hello in time'));
    }, HELLO_TIMEOUT_MS);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sends if there is still somebody; whoever must know for certain waits for the answer. */
  send(message: Message): void {
    if (this.#closed || this.#socket.destroyed) return;
    this.#socket.write(this.#encoder.encode(message));
    if (this.#socket.writableLength > UNREAD_BYTES_MAX) this.#socket.destroy();
  }

  /** From now on the peer may send a digest of each frame (workflow/memory-check.ts). */
  expectDigests(): void {
    this.#budget.max = CHECK_BYTES_PER_SECOND_MAX;
  }

  /** Tells the peer what was wrong and ends the connection. */
  fail(error: PmsmError): void {
    this.#fault ??= error;
    this.#deaf = true;
    if (!this.#closed && !this.#socket.destroyed) {
      this.#socket.end(this.#encoder.encode(errorMessage(error)));
      this.#socket.destroySoon();
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    const received_ns = now_ns();
    this.#heard_ms = performance.now();
    if (this.#deaf) return;
    try {
      this.#spend(chunk.length, received_ns);
      for (const message of this.#decoder.push(chunk)) this.#dispatch(message, received_ns);
    } catch (error) {
      this.fail(toPmsmError(error));
    }
  }

  #spend(bytes: number, at_ns: bigint): void {
    const second = at_ns / 1_000_000_000n;
    if (second !== this.#budget.second) this.#budget = { ...this.#budget, second, bytes: 0 };
    this.#budget.bytes += bytes;
    if (this.#budget.bytes > this.#budget.max) {
      throw new PmsmError('protocol-error', 'more bytes in a second than a control link needs');
    }
  }

  #dispatch(message: Message, received_ns: bigint): void {
    if (!this.hello) {
      this.#greet(message);
      return;
    }
    if (message.type === 'hello') throw new PmsmError('protocol-error', 'a second hello');
    if (message.type === 'ping') {
      const realtime_ns = BigInt(Date.now()) * 1_000_000n;
      const { cookie } = message;
      this.send({ type: 'pong', cookie, cycles: received_ns, realtime_ns });
      return;
    }
    if (message.type === 'pong') {
      const sent_ns = this.#pings.get(message.cookie);
      if (sent_ns !== undefined) this.offsets.add(message, sent_ns, received_ns);
      this.#pings.delete(message.cookie);
      return;
    }
    if (message.type === 'error') this.#fault = errorFromNumber(message.code, message.detail);
    this.emit('message', message);
  }

  #greet(message: Message): void {
    if (message.type !== 'hello') {
      throw new PmsmError('protocol-error', `${message.type} came before hello`);
    }
    this.hello = message;
    this.offsets = new Offsets(message.cycles_khz);
    clearTimeout(this.#timer);
    this.send({ ...message, cycles_khz: OUR_CYCLES_KHZ });
    this.emit('hello');
    this.#ping(FIRST_PINGS);
  }

  /**
   * From the order to freeze until the peer has its devices back, nothing may come unasked: it cannot
   * answer, and a NIC whose driver does not stop it (stock e1000e) goes deaf by a frame that arrives.
   */
  set quiet(quiet: boolean) {
    this.#quiet = quiet;
  }

  /**
   * Reads the peer's clocks some times in close succession, for a peer that was too busy to answer
   * before. Resolves when it has answered, or after the limit.
   */
  async sampleClocks(count: number, limit_ms: number): Promise<void> {
    const deadline_ms = performance.now() + limit_ms;
    const goal = this.offsets.added + count;
    for (let sent = 0; this.offsets.added < goal && performance.now() < deadline_ms; sent++) {
      if (this.#closed) return;
      if (sent < count) this.#sendPing();
      await sleep(SAMPLE_INTERVAL_MS);
    }
  }

  #sendPing(): void {
    const cookie = this.#cookie++;
    this.#pings.set(cookie, now_ns());
    this.#pings.delete(cookie - BigInt(PINGS_OPEN_MAX));
    this.send({ type: 'ping', cookie });
  }

  #ping(first: number): void {
    if (this.#closed) return;
    const limit_ms = this.hello?.role === 'standby' ? SILENT_STANDBY_MS : SILENT_OTHERS_MS;
    if (performance.now() - this.#heard_ms > limit_ms) {
      this.#socket.destroy();
      return;
    }
    if (!this.#quiet) this.#sendPing();
    const interval_ms = first > 0 ? FIRST_PING_INTERVAL_MS : PING_INTERVAL_MS;
    this.#timer = setTimeout(() => this.#ping(first - 1), interval_ms);
  }

  #finish(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.emit('closed', this.#fault);
  }
}

/** An IPv4 peer of a dual-stack listener shows up as ::ffff:10.0.1.2. */
function plainAddress(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:/, '');
}
