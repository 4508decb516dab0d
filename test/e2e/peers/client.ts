/**
 * Every kind of connection that a machine can have when it moves, seen from outside; runs inside the lab's network.
 *
 *     client.ts ECHO-PORT CHATTER-PORT UDP-PORT HIDDEN-ADDRESS
 *
 * One word a line on standard input: `during` opens connections in the middle of the window; `finish` waits until every
 * peer has got something that was sent after that, and prints one line of JSON: `[{ "name", "ok", "detail" }, ...]`.
 * Says `ready` once all peers are as they should be before the move.
 */
import { createSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const words = process.argv.slice(2);
const [echo_port = 0, chatter_port = 0, udp_port = 0] = words.map(Number);
const IPV4 = '10.0.0.1';
const IPV6 = 'fd00::1';
/** An address to which no answer comes as long as the test wants it (services.ts). */
const HIDDEN = words[3] ?? '';
const TICK_MS = 20;
const READY_LIMIT_MS = 20_000;
/** The pauses of TCP's retransmissions grow; a peer may have begun to wait right before the machine came back. */
const FINISH_LIMIT_MS = 60_000;
/** What the machine sends without end is taken slowly: it always has more to send than may be sent. */
const CHATTER_BYTES_PER_TICK = 64 * 1024;
const CHATTER = 'pmsm\n';

interface Peer {
  readonly name: string;
  /** Whether it is as it should be before the move. */
  ready(): boolean;
  /** Whether it has had an answer to what was asked since `finish` was called. */
  finish(): void;
  done(): boolean;
  failure: string;
}

/** Asks and waits for the answer, again and again; an idle one asks only at the end. */
class Echo implements Peer {
  readonly name: string;
  failure = '';
  readonly #socket: Socket;
  readonly #idle: boolean;
  #asked = 0;
  #answered = 0;
  #wanted = Number.POSITIVE_INFINITY;

  constructor(name: string, host: string, idle = false, localAddress?: string) {
    this.name = name;
    this.#idle = idle;
    this.#socket = connect({ host, port: echo_port, ...(localAddress && { localAddress }) });
    this.#socket.on('connect', () => !idle && this.#ask());
    this.#socket.on('error', (error) => {
      this.failure = error.message;
    });
    this.#socket.on('close', () => {
      this.failure ||= 'closed';
    });
    let text = '';
    this.#socket.setEncoding('latin1').on('data', (data: string) => {
      text += data;
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        this.#hear(text.slice(0, end));
        text = text.slice(end + 1);
      }
    });
  }

  get connected(): boolean {
    return !this.#socket.connecting && !this.#socket.destroyed;
  }

  ready(): boolean {
    return this.#idle ? this.connected : this.#answered > 0;
  }

  finish(): void {
    this.#wanted = this.#asked + 1;
    if (this.#idle) this.#ask();
  }

  done(): boolean {
    return this.#answered >= this.#wanted;
  }

  #ask(): void {
    this.#asked += 1;
    this.#socket.write(`${this.#asked}\n`);
  }

  #hear(answer: string): void {
    this.#answered += 1;
    if (Number(answer) !== this.#answered) this.failure = `${answer} instead of ${this.#answered}`;
    if (!this.#idle) setTimeout(() => this.#ask(), TICK_MS);
  }
}

/** The machine sends without end; not one byte may be lost or come twice. `half` has ended its own direction. */
class Chatter implements Peer {
  readonly name: string;
  failure = '';
  readonly #socket: Socket;
  #bytes = 0;
  #wanted = Number.POSITIVE_INFINITY;

  constructor(name: string, host: string, half: boolean) {
    this.name = name;
    this.#socket = connect({ host, port: chatter_port, allowHalfOpen: true });
    this.#socket.on('connect', () => half && this.#socket.end());
    this.#socket.on('error', (error) => {
      this.failure = error.message;
    });
    this.#socket.on('close', () => {
      this.failure ||= 'closed';
    });
    this.#socket.on('data', (data: Buffer) => this.#hear(data));
    setInterval(() => this.#socket.resume(), TICK_MS).unref();
  }

  ready(): boolean {
    return this.#bytes > 0;
  }

  finish(): void {
    // More than what all buffers on the way can hold.
    this.#wanted = this.#bytes + 8 * 1024 * 1024;
  }

  done(): boolean {
    return this.#bytes >= this.#wanted;
  }

  #hear(data: Buffer): void {
    const at = this.#bytes % CHATTER.length;
    const expected = Buffer.alloc(data.length + CHATTER.length, CHATTER).subarray(at);
    if (!data.equals(expected.subarray(0, data.length))) this.failure = `damaged at ${this.#bytes}`;
    this.#bytes += data.length;
    if (data.length > 0 && this.#bytes % CHATTER_BYTES_PER_TICK < data.length) this.#socket.pause();
  }
}

/** Datagrams may be lost, but must be answered again. */
class Datagrams implements Peer {
  readonly name: string;
  failure = '';
  #asked = 0;
  #answered = 0;
  #wanted = Number.POSITIVE_INFINITY;

  constructor(name: string, host: string) {
    this.name = name;
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.on('error', (error) => {
      this.failure = error.message;
    });
    socket.on('message', (message) => {
      this.#answered = Math.max(this.#answered, Number(message.toString()));
    });
    setInterval(() => {
      this.#asked += 1;
      socket.send(String(this.#asked), udp_port, host, () => undefined);
    }, TICK_MS).unref();
  }

  ready(): boolean {
    return this.#answered > 0;
  }

  finish(): void {
    this.#wanted = this.#asked + 1;
  }

  done(): boolean {
    return this.#answered >= this.#wanted;
  }
}

/** The machine has answered its first segment, and that answer does not arrive. */
class HalfOpen implements Peer {
  readonly name = 'TCP over IPv4, half open';
  failure = '';
  #echo = new Echo(this.name, IPV4, false, HIDDEN);

  ready(): boolean {
    return !this.#echo.connected;
  }

  finish(): void {
    this.#echo.finish();
  }

  done(): boolean {
    this.failure = this.#echo.failure;
    return this.#echo.done() || this.#echo.ready();
  }
}

const peers: Peer[] = [
  new Echo('TCP over IPv4, established', IPV4),
  new Echo('TCP over IPv6, established', IPV6),
  new Echo('TCP over IPv4, idle', IPV4, true),
  new Echo('TCP over IPv6, idle', IPV6, true),
  new Chatter('TCP over IPv4, heavily sending', IPV4, false),
  new Chatter('TCP over IPv6, half closed', IPV6, true),
  new Datagrams('UDP over IPv4', IPV4),
  new Datagrams('UDP over IPv6', IPV6),
  new HalfOpen(),
];

async function until(holds: (peer: Peer) => boolean, limit_ms: number): Promise<boolean> {
  for (const deadline = performance.now() + limit_ms; performance.now() < deadline; ) {
    if (peers.every(holds)) return true;
    await sleep(TICK_MS);
  }
  return false;
}

function say(word: string): void {
  process.stdout.write(`${word}\n`);
}

async function finish(): Promise<void> {
  for (const peer of peers) peer.finish();
  await until((peer) => peer.failure !== '' || peer.done(), FINISH_LIMIT_MS);
  say(
    JSON.stringify(
      peers.map((peer) => ({
        name: peer.name,
        ok: peer.failure === '' && peer.done(),
        detail: peer.failure || (peer.done() ? '' : 'no answer'),
      })),
    ),
  );
}

const early = await until((peer) => peer.ready(), READY_LIMIT_MS);
const late = peers.filter((peer) => !peer.ready() || peer.failure);
say(early ? 'ready' : `not ready: ${late.map(({ name, failure }) => `${name} ${failure}`)}`);
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'during') {
    peers.push(
      new Echo('TCP over IPv4, opened in the window', IPV4),
      new Echo('TCP over IPv6, opened in the window', IPV6),
    );
  }
  if (line === 'finish') {
    await finish();
    process.exit(0);
  }
}
