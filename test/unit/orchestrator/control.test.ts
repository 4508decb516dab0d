/** The control server against peers that do what they should not. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { encodeFrame } from '../../../agent/wire/codec.ts';
import { NO_ATTEMPT } from '../../../agent/wire/messages.ts';
import type { Message } from '../../../agent/wire/wire.gen.ts';
import { type Link, PING_INTERVAL_MS } from '../../../orchestrator/control/link.ts';
import { Offsets } from '../../../orchestrator/control/offsets.ts';
import {
  CONNECTIONS_PER_ADDRESS_MAX,
  ControlServer,
} from '../../../orchestrator/control/server.ts';
import { eventually, Peer, startLab, TARGET_ADDRESS } from './fakes.ts';

async function startServer(t: Test): Promise<{ port: number; links: Link[] }> {
  const links: Link[] = [];
  const server = new ControlServer((link) => links.push(link));
  await server.listen('127.0.0.1', 0);
  t.teardown(() => server.close());
  return { port: server.port, links };
}

const HELLO: Message = {
  type: 'hello',
  role: 'source',
  attempt: 'ab'.repeat(16),
  generation: 1n,
  cycles_khz: 1_000_000n,
};

function open(t: Test, port: number): Socket {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  t.teardown(() => socket.destroy());
  return socket;
}

/** Until the server has closed; what it sent is thrown away. */
async function ended(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.closed) await once(socket, 'close', { signal: AbortSignal.timeout(5000) });
}

const HOSTILE: Array<[name: string, bytes: () => Buffer]> = [
  ['not our protocol', () => Buffer.from('GET /v1/migrations HTTP/1.1\r\nhost: example\r\n\r\n')],
  ['zeroes', () => Buffer.alloc(4096)],
  ['something before hello', () => encodeFrame({ type: 'ping', cookie: 1n }, 0)],
  ['a second hello', () => Buffer.concat([encodeFrame(HELLO, 0), encodeFrame(HELLO, 1)])],
  ['a frame left out', () => Buffer.concat([encodeFrame(HELLO, 0), encodeFrame(HELLO, 2)])],
  [
    'a damaged payload',
    () => {
      const frame = encodeFrame(HELLO, 0);
      frame[40] = 0xff;
      return frame;
    },
  ],
  [
    'a length beyond all limits',
    () => {
      const frame = encodeFrame(HELLO, 0);
      frame.writeUInt32LE(0xffff_ffff, 8);
      return frame;
    },
  ],
];

for (const [name, bytes] of HOSTILE) {
  t.test(`${name} ends that connection and no other`, async (t) => {
    const { port, links } = await startServer(t);
    const good = open(t, port);
    good.write(encodeFrame(HELLO, 0));
    await eventually(() => links.length === 1);
    const bad = open(t, port);
    bad.write(bytes());
    await ended(bad);
    t.notOk(links[0]?.closed, 'the good one is still there');
  });
}

t.test('a flood is cut off', async (t) => {
  const { port, links } = await startServer(t);
  const socket = open(t, port);
  socket.write(encodeFrame(HELLO, 0));
  const text = 'x'.repeat(60_000);
  for (let i = 1; i <= 40; i++) socket.write(encodeFrame({ type: 'facts', json: text }, i));
  await ended(socket);
  await eventually(() => links[0]?.closed === true);
  t.equal(links.length, 1, 'and nobody else came in its place');
});

t.test('one address gets only so many connections', async (t) => {
  const { port } = await startServer(t);
  const sockets = Array.from({ length: CONNECTIONS_PER_ADDRESS_MAX + 5 }, () => open(t, port));
  await eventually(() => sockets.filter(({ closed }) => closed).length === 5);
  t.equal(sockets.filter(({ closed }) => !closed).length, CONNECTIONS_PER_ADDRESS_MAX);
});

t.test('a port that is taken is said so', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.teardown(() => other.close());
  const address = other.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const server = new ControlServer(() => undefined);
  await t.rejects(server.listen('127.0.0.1', port), {
    code: 'port-taken',
    detail: `127.0.0.1:${port}`,
  });
});

t.test('clocks: the shortest round trip wins', async (t) => {
  const offsets = new Offsets(2_000_000n);
  t.equal(offsets.toMonotonic_ns(1n), undefined, 'nothing is known yet');
  const pong = { type: 'pong', cookie: 0n, realtime_ns: 5_000n } as const;
  offsets.add({ ...pong, cycles: 1_000_000n }, 100n, 900_100n);
  offsets.add({ ...pong, cycles: 4_000_000n }, 2_000_000n, 2_000_200n);
  offsets.add({ ...pong, cycles: 9_000_000n }, 4_000_000n, 4_900_000n);
  // 2 GHz: two cycles a nanosecond, counted from the middle of the best round trip.
  t.equal(offsets.toMonotonic_ns(4_000_000n), 2_000_100n);
  t.equal(offsets.toMonotonic_ns(4_002_000n), 2_001_100n);
  t.equal(offsets.toMonotonic_ns(3_998_000n), 1_999_100n);
  t.equal(offsets.realtimeOffset_ns(), 5_000n - 2_000_100n);
  t.equal(new Offsets(0n).toMonotonic_ns(1n), undefined, 'an unknown frequency');
});

t.test('standbys', async (t) => {
  t.test('are known by their address', async (t) => {
    const lab = await startLab(t.testdir());
    t.teardown(() => lab.close());
    const { registry } = lab.service.site;
    t.match(registry.standby('node2'), { waiting: true, facts: { cpu: { count: 1 } } });
    lab.world.standby?.close();
    await eventually(() => registry.standby('node2') === undefined);
  });

  t.test('with an address that is not configured are turned away', async (t) => {
    const lab = await startLab(t.testdir());
    t.teardown(() => lab.close());
    const heard: string[] = [];
    const peer = new Peer('standby', lab.service.control.port, '127.0.0.99', ({ type }) =>
      heard.push(type),
    );
    peer.hello(NO_ATTEMPT, 0n);
    await eventually(() => heard.includes('error'));
    peer.close();
  });

  t.test('with facts that are not valid are turned away', async (t) => {
    const lab = await startLab(t.testdir());
    t.teardown(() => lab.close());
    for (const json of ['{', '{}', '[]', '{"kernel":{"release":1}}']) {
      const heard: string[] = [];
      const peer = new Peer('standby', lab.service.control.port, TARGET_ADDRESS, ({ type }) =>
        heard.push(type),
      );
      peer.hello(NO_ATTEMPT, 0n);
      peer.send({ type: 'facts', json });
      await eventually(() => heard.includes('error'));
      peer.close();
    }
  });

  t.test('that hold the image of an attempt which has ended are told to drop it', async (t) => {
    const lab = await startLab(t.testdir());
    t.teardown(() => lab.close());
    const heard: string[] = [];
    const peer = new Peer('standby', lab.service.control.port, TARGET_ADDRESS, ({ type }) =>
      heard.push(type),
    );
    peer.hello('cd'.repeat(16), 9n);
    await eventually(() => heard.includes('abort'));
    peer.close();
  });
});

t.test('a quiet link asks nothing of its peer until it may again', async (t) => {
  const { port, links } = await startServer(t);
  const socket = open(t, port);
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  socket.write(encodeFrame(HELLO, 0));
  await eventually(() => bytes > 0);
  const [link] = links;
  t.ok(link, 'a link');
  if (!link) return;
  link.quiet = true;
  await sleep(50);
  const before = bytes;
  await sleep(PING_INTERVAL_MS + 200);
  t.equal(bytes, before, 'nothing comes');
  link.quiet = false;
  await eventually(() => bytes > before);
});
