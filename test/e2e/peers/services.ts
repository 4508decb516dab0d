/** What answers the peers on the machine that moves: Debian's own tools behind sockets of systemd. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Lab } from '../../../images/lab/lab.ts';

const ECHO_PORT = 7007;
const CHATTER_PORT = 7008;
const UDP_PORT = 7009;
/** Nobody's address on the switch. */
const NOBODY = '02:00:00:00:00:99';
const POLL_MS = 50;
const HALF_OPEN_LIMIT_MS = 10_000;

const socketUnit = (name: string, port: number, command: string): string => `
cat >/run/systemd/system/${name}.socket <<END
[Socket]
ListenStream=[::]:${port}
Accept=yes
END
cat >/run/systemd/system/${name}@.service <<END
[Service]
ExecStart=${command}
StandardInput=socket
StandardOutput=socket
END
`;

const UDP_ECHO = [
  'socket(S, PF_INET6, SOCK_DGRAM, 0)',
  `bind(S, pack_sockaddr_in6(${UDP_PORT}, inet_pton(AF_INET6, "::")))`,
  'while ($from = recv(S, $text, 64, 0)) { send(S, $text, 0, $from) }',
].join('; ');

/**
 * Writes to the disk without a file system, in the page cache, all the time: behind the record of who owns it
 * (agent/native/common/ownership.h), whose partition is larger than that.
 */
const RAW_WRITER = [
  'exec 3<>/dev/sda1',
  'while dd if=/dev/urandom of=/dev/sda1 bs=4k count=16 seek=128 conv=notrunc status=none',
  'do sleep 0.02; done',
].join('; ');

/**
 * Left to itself the kernel writes back what is half a minute old, which no window is long enough to see; and what is
 * written back at once is rarely there when everybody stands still.
 */
const EAGER = 'sysctl -qw vm.dirty_expire_centisecs=50 vm.dirty_writeback_centisecs=50';
/** Where that writer writes: the second partition's first half MiB is for the record. */
export const RAW_PLACE = { begin_bytes: 1_572_864, end_bytes: 2_097_152 } as const;

export async function startServices(lab: Lab): Promise<void> {
  await lab.ssh(
    [
      EAGER,
      socketUnit('peer-echo', ECHO_PORT, '/usr/bin/cat'),
      socketUnit('peer-chatter', CHATTER_PORT, '/usr/bin/yes pmsm'),
      'systemctl daemon-reload',
      'systemctl start peer-echo.socket peer-chatter.socket',
      `systemd-run -q --unit=peer-udp perl -MSocket=:all -e '${UDP_ECHO}'`,
      `systemd-run -q --unit=raw-writer sh -c '${RAW_WRITER}'`,
    ].join('\n'),
  );
}

const resultsSchema = z.array(
  z.object({ name: z.string(), ok: z.boolean(), detail: z.string().max(2000) }),
);

export type PeerResult = z.infer<typeof resultsSchema>[number];

/** The peers outside, in a process of their own in the lab's network. */
export class Peers {
  readonly #lab: Lab;
  readonly #hidden: string;
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  private constructor(lab: Lab, hidden: string) {
    this.#lab = lab;
    this.#hidden = hidden;
    const words = [ECHO_PORT, CHATTER_PORT, UDP_PORT].map(String).concat(hidden);
    const main = new URL('./client.ts', import.meta.url).pathname;
    const [program, ...args] = lab.inside([process.execPath, main, ...words]);
    this.#process = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /** `hidden`: an address that nobody else has had. */
  static async start(lab: Lab, hidden: string): Promise<Peers> {
    await hide(lab, hidden);
    const peers = new Peers(lab, hidden);
    try {
      const said = await peers.#next();
      if (said !== 'ready') throw new Error(said);
      await untilHalfOpen(lab, hidden);
      return peers;
    } catch (error) {
      peers.stop();
      throw error;
    }
  }

  /** From the middle of the window. */
  openMore(): void {
    this.#process.stdin.write('during\n');
  }

  async finish(): Promise<PeerResult[]> {
    await show(this.#lab, this.#hidden);
    this.#process.stdin.write('finish\n');
    return resultsSchema.parse(JSON.parse(await this.#next()));
  }

  stop(): void {
    this.#process.kill('SIGKILL');
  }

  async #next(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the peers have ended');
    return String(value);
  }
}

/**
 * What the machine sends to an address of the client's goes to a station that is not there: a connection from that
 * address stays half open.
 */
async function hide(lab: Lab, address: string): Promise<void> {
  await lab.exec(['ip', 'address', 'add', `${address}/32`, 'dev', 'lo']);
  await lab.ssh(`ip neigh replace ${address} lladdr ${NOBODY} dev eth0 nud permanent`);
}

async function show(lab: Lab, address: string): Promise<void> {
  await lab.ssh(`ip neigh del ${address} dev eth0`);
}

async function untilHalfOpen(lab: Lab, address: string): Promise<void> {
  for (const deadline = performance.now() + HALF_OPEN_LIMIT_MS; performance.now() < deadline; ) {
    if ((await lab.ssh('ss -Htn state syn-recv')).includes(address)) return;
    await sleep(POLL_MS);
  }
  throw new Error('no connection is half open on the machine');
}
