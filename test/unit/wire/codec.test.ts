import t from 'tap';
import { encodeFrame, FrameDecoder, FrameEncoder, xxh64 } from '../../../agent/wire/codec.ts';
import { HEADER_BYTES, HEADER_LAYOUT, LIMITS, type Message } from '../../../agent/wire/wire.gen.ts';
import { anyDecoder, decodeAll, faultOf, messageOf, seal, VECTORS } from './support.ts';

const PING: Message = { type: 'ping', cookie: 7n };
const MESSAGES = VECTORS.good.map(messageOf);

function streamOf(messages: Message[]): Buffer {
  const encoder = new FrameEncoder();
  return Buffer.concat(messages.map((message) => encoder.encode(message)));
}

function decodeInPieces(bytes: Buffer, pieceBytes: number): Message[] {
  const decoder = anyDecoder();
  const messages: Message[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    messages.push(...decoder.push(bytes.subarray(at, at + pieceBytes)));
  }
  decoder.finish();
  return messages;
}

t.test('XXH64 agrees with published values', async (t) => {
  t.equal(xxh64(Buffer.from('')), 0xef46db3751d8e999n);
  t.equal(xxh64(Buffer.from('a')), 0xd24ec4f1a98c6e5bn);
  t.equal(xxh64(Buffer.from('abc')), 0x44bc2cf5ad770999n);
});

t.test('header fields sit where the layout says', async (t) => {
  const frame = encodeFrame(PING, 0x01020304);
  const read = Object.fromEntries(
    HEADER_LAYOUT.map(({ name, offset, bytes }) => [
      name,
      frame.subarray(offset, offset + bytes).toString('hex'),
    ]),
  );
  const digest = Buffer.alloc(8);
  digest.writeBigUInt64LE(xxh64(frame.subarray(HEADER_BYTES)));
  const headerDigest = Buffer.alloc(8);
  headerDigest.writeBigUInt64LE(xxh64(frame.subarray(0, 24)));
  t.same(read, {
    magic: Buffer.from('PMSM').toString('hex'),
    version: '0100',
    type: '0300',
    payload_bytes: '08000000',
    sequence: '04030201',
    payload_digest: digest.toString('hex'),
    header_digest: headerDigest.toString('hex'),
  });
});

t.test('all messages survive the way there and back on one connection', async (t) => {
  t.same(decodeInPieces(streamOf(MESSAGES), Number.MAX_SAFE_INTEGER), MESSAGES);
});

t.test('it does not matter how a stream is cut', async (t) => {
  const bytes = streamOf(MESSAGES);
  for (const pieceBytes of [1, 2, 3, 7, 31, 32, 33, 1000]) {
    t.same(decodeInPieces(bytes, pieceBytes), MESSAGES, `pieces of ${pieceBytes}`);
  }
});

t.test('two pieces, cut at every byte', async (t) => {
  const messages = MESSAGES.filter((message) => encodeFrame(message, 0).length < 600);
  const bytes = streamOf(messages);
  let wrong = 0;
  for (let cut = 0; cut <= bytes.length; cut++) {
    const decoder = anyDecoder();
    const first = [...decoder.push(bytes.subarray(0, cut))];
    const second = [...decoder.push(bytes.subarray(cut))];
    wrong +=
      first.length + second.length === messages.length && decoder.bufferedBytes === 0 ? 0 : 1;
  }
  t.ok(bytes.length > 3000, `${bytes.length} bytes are enough to mean something`);
  t.equal(wrong, 0);
});

t.test('the largest messages pass, one byte more does not', async (t) => {
  const chunk = (bytes: number): Message => ({
    type: 'chunk',
    image_offset: 0n,
    raw_bytes: LIMITS.chunk_bytes,
    codec: 'none',
    data: Buffer.alloc(bytes, 0x5a),
  });
  const largest = encodeFrame(chunk(LIMITS.chunk_bytes), 0);
  t.equal(decodeAll(anyDecoder(), largest).length, 1);
  t.equal(faultOf(() => encodeFrame(chunk(LIMITS.chunk_bytes + 1), 0))?.code, 'internal');
  const facts: Message = { type: 'facts', json: 'x'.repeat(LIMITS.control_payload_bytes) };
  t.equal(decodeAll(new FrameDecoder(), encodeFrame(facts, 0)).length, 1);
});

t.test('a control link takes no payload of a stream', async (t) => {
  const probe: Message = { type: 'probe', cookie: 1n, data: Buffer.alloc(65_529) };
  const frame = encodeFrame(probe, 0);
  const fault = faultOf(() => decodeAll(new FrameDecoder(), frame.subarray(0, HEADER_BYTES)));
  t.equal(fault?.code, 'protocol-error');
});

t.test('sequence', async (t) => {
  t.test('repeated, skipped and restarted frames are refused', async (t) => {
    for (const second of [0, 2, 0xffffffff]) {
      const decoder = new FrameDecoder();
      t.same([...decoder.push(encodeFrame(PING, 0))], [PING]);
      const fault = faultOf(() => decodeAll(decoder, encodeFrame(PING, second)));
      t.equal(fault?.code, 'protocol-error', `1 was due, ${second} came`);
    }
  });
  t.test('wraps to zero after 2^32 frames', async (t) => {
    const decoder = new FrameDecoder({ sequence: 0xffffffff });
    const bytes = Buffer.concat([encodeFrame(PING, 0xffffffff), encodeFrame(PING, 2 ** 32)]);
    t.equal([...decoder.push(bytes)].length, 2);
  });
});

t.test('faults', async (t) => {
  const bad = encodeFrame(PING, 9);
  t.test('good messages before a fault in one chunk are delivered first', async (t) => {
    const decoder = new FrameDecoder();
    const seen: Message[] = [];
    const fault = faultOf(() => {
      for (const message of decoder.push(Buffer.concat([encodeFrame(PING, 0), bad]))) {
        seen.push(message);
      }
    });
    t.same(seen, [PING]);
    t.equal(fault?.code, 'protocol-error');
  });
  t.test('a decoder stays broken and holds nothing', async (t) => {
    const decoder = new FrameDecoder();
    const first = faultOf(() => decodeAll(decoder, bad));
    t.equal(
      faultOf(() => decodeAll(decoder, encodeFrame(PING, 0))),
      first,
    );
    t.equal(
      faultOf(() => decoder.finish()),
      first,
    );
    t.equal(decoder.bufferedBytes, 0);
  });
  t.test('a fault is noticed even if nobody asked for the messages of its chunk', async (t) => {
    const decoder = new FrameDecoder();
    decoder.push(bad);
    t.ok(faultOf(() => decodeAll(decoder, encodeFrame(PING, 0))));
  });
  t.test('an end inside a frame is one', async (t) => {
    const frame = encodeFrame(PING, 0);
    for (const bytes of [1, HEADER_BYTES - 1, HEADER_BYTES, frame.length - 1]) {
      const decoder = new FrameDecoder();
      decoder.push(frame.subarray(0, bytes));
      t.equal(faultOf(() => decoder.finish())?.code, 'protocol-error', `${bytes} bytes`);
    }
    t.doesNotThrow(() => new FrameDecoder().finish());
  });
});

t.test('texts cannot steer a terminal or stop a connection', async (t) => {
  const raw = { type: 'error', code: 42, phase: 0, system_errno: 0 } as const;
  const decode = (detail: string) => {
    const [message] = anyDecoder().push(encodeFrame({ ...raw, detail }, 0));
    return message?.type === 'error' ? message.detail : undefined;
  };
  t.equal(decode('\u001b[2Jgone\u0000\u009b'), '\ufffd[2Jgone\ufffd\ufffd');
  t.equal(decode('tab\tline\nGerät'), 'tab\tline\nGerät');
  const frame = encodeFrame({ ...raw, detail: 'ab' }, 0);
  frame[frame.length - 1] = 0xc3;
  seal(frame);
  const [message] = anyDecoder().push(frame);
  t.match(message, { detail: 'a\ufffd' }, 'half a character is shown as such');
});

t.test('what the wire cannot hold is refused when it is encoded', async (t) => {
  const hello = VECTORS.good.map(messageOf).find((message) => message.type === 'hello');
  const wrong: unknown[] = [
    { ...hello, role: 'king' },
    { ...hello, role: 'toString' },
    { ...hello, attempt: 'A0'.repeat(16) },
    { ...hello, attempt: 'a0'.repeat(15) },
    { ...hello, attempt: 'zz'.repeat(16) },
    { ...hello, generation: 1 },
    { ...hello, generation: -1n },
    { ...hello, generation: 1n << 64n },
    { type: 'stream_open', chunk_bytes: 2 ** 32 },
    { type: 'stream_open', chunk_bytes: 1.5 },
    { type: 'stream_open' },
    { type: 'kernel_stamps', cycles_khz: 0n, cycles: [1n] },
    { type: 'kernel_stamps', cycles_khz: 0n, cycles: Array(32).fill(1) },
    { type: 'facts', json: 'x'.repeat(65_537) },
    { type: 'facts', json: Buffer.from('{}') },
    { type: 'probe', cookie: 1n, data: 'text' },
  ];
  for (const message of wrong) {
    const fault = faultOf(() => encodeFrame(message as Message, 0));
    t.equal(
      fault?.code,
      'internal',
      JSON.stringify(message, (_, v) => (typeof v === 'bigint' ? `${v}` : v)).slice(0, 90),
    );
  }
});
