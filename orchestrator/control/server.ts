import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { toListenError } from '../listen.ts';
import { Link } from './link.ts';

export const CONNECTIONS_MAX = 512;
/** A resumed machine on a link that comes up slowly tries anew eight times a second. */
export const CONNECTIONS_PER_ADDRESS_MAX = 64;

/** Listens for the links of standbys, helpers and resumed machines. */
export class ControlServer {
  readonly #server: Server;
  readonly #links = new Set<Link>();
  readonly #onHello: (link: Link) => void;

  /** `onHello` is called once a peer has said who it is. */
  constructor(onHello: (link: Link) => void) {
    this.#onHello = onHello;
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  async listen(host: string, port: number): Promise<void> {
    this.#server.listen({ host, port });
    try {
      await once(this.#server, 'listening');
    } catch (error) {
      throw toListenError(error, `${host}:${port}`);
    }
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.close();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(socket: Socket): void {
    const from = [...this.#links].filter(
      (link) => link.peer_address === socket.remoteAddress?.replace(/^::ffff:/, ''),
    );
    if (this.#links.size >= CONNECTIONS_MAX || from.length >= CONNECTIONS_PER_ADDRESS_MAX) {
      socket.destroy();
      return;
    }
    const link = new Link(socket);
    this.#links.add(link);
    link.on('hello', () => this.#onHello(link));
    link.on('closed', () => this.#links.delete(link));
  }
}
