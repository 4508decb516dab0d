// Random and damaged input, the same on every run. Nothing but a PmsmError may come out, and never much may be held.

import t from 'tap';
import { FrameDecoder, FrameEncoder } from '../../../agent/wire/codec.ts';
import { PmsmError } from '../../../agent/wire/errors.ts';
import { HEADER_BYTES, LIMITS, type Message } from '../../../agent/wire/wire.gen.ts';
import { decodeAll, messageOf, seal, seededRandom, VECTORS } from './support.ts';

const SEED = Number(process.env.PMSM_FUZZ_SEED ?? 20_260_101);
const ROUNDS = 3000;
const MOST_HELD_BYTES = HEADER_BYTES + LIMITS.control_payload_bytes;

const MESSAGES = VECTORS.good.map(messageOf);
const ALLOWED = new Set(['protocol-error', 'version-mismatch', 'digest-mismatch']);

interface Outcome {
  messages: number;
  fault: string | undefined;
}

// Feeds `bytes` in pieces of random size; throws whatever is not a PmsmError of the allowed codes.
function feed(bytes: Buffer, random: () => number): Outcome {
  const decoder = new FrameDecoder();
  let messages = 0;
  let at = 0;
  try {
    while (at < bytes.length) {
      const piece = bytes.subarray(at, at + 1 + Math.floor(random() * 200));
      at += piece.length;
      for (const _ of decoder.push(piece)) {
        messages++;
      }
      if (decoder.bufferedBytes > MOST_HELD_BYTES) {
        throw new Error(`holds ${decoder.bufferedBytes} bytes`);
      }
    }
    decoder.finish();
  } catch (error) {
    if (error instanceof PmsmError && ALLOWED.has(error.code)) {
      return { messages, fault: error.code };
    }
    throw error;
  }
  return { messages, fault: undefined };
}

function randomStream(random: () => number): Buffer {
  const encoder = new FrameEncoder();
  const count = 1 + Math.floor(random() * 4);
  const frames = Array.from({ length: count }, () =>
    encoder.encode(MESSAGES[Math.floor(random() * MESSAGES.length)] as Message),
  );
  return Buffer.concat(frames);
}

function randomBytes(count: number, random: () => number): Buffer {
  return Buffer.from(Array.from({ length: count }, () => Math.floor(random() * 256)));
}

t.test('random bytes', async (t) => {
  const random = seededRandom(SEED);
  let messages = 0;
  let faults = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const outcome = feed(randomBytes(Math.floor(random() * 300), random), random);
    messages += outcome.messages;
    faults += outcome.fault === undefined ? 0 : 1;
  }
  t.equal(messages, 0, `no message in ${ROUNDS} rounds, seed ${SEED}`);
  t.ok(faults > ROUNDS * 0.9, `${faults} were refused`);
});

// The digest covers the payload; the rest of the header has rules of its own, apart from the message number. One that
// turns into another message of the same size passes, so a receiver also checks that a message is due.
function isTypeByte(stream: Buffer, at: number): boolean {
  let start = 0;
  while (at >= start + HEADER_BYTES + stream.readUInt32LE(start + 8)) {
    start += HEADER_BYTES + stream.readUInt32LE(start + 8);
  }
  return at - start === 6 || at - start === 7;
}

t.test('a damaged byte is noticed, wherever it is', async (t) => {
  const random = seededRandom(SEED + 1);
  const faults = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    const stream = randomStream(random);
    const at = Math.floor(random() * stream.length);
    const typeByte = isTypeByte(stream, at);
    stream[at] = (stream[at] as number) ^ (1 + Math.floor(random() * 255));
    const { fault } = feed(stream, random);
    const key = fault ?? (typeByte ? 'other message' : 'unnoticed');
    faults.set(key, (faults.get(key) ?? 0) + 1);
  }
  t.equal(faults.get('unnoticed') ?? 0, 0);
  t.ok(
    [...ALLOWED].every((code) => (faults.get(code) ?? 0) > 0),
    'each kind of fault is met',
  );
});

t.test('damaged payloads with a digest that fits', async (t) => {
  const random = seededRandom(SEED + 2);
  let accepted = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const message = MESSAGES[Math.floor(random() * MESSAGES.length)] as Message;
    const frame = new FrameEncoder().encode(message);
    const payload = frame.subarray(HEADER_BYTES);
    if (payload.length > 0) {
      payload[Math.floor(random() * payload.length)] = Math.floor(random() * 256);
    }
    seal(frame);
    accepted += feed(frame, random).messages;
  }
  t.ok(accepted > ROUNDS / 2, 'most single bytes are values like any other');
  t.ok(accepted < ROUNDS, 'reserved bytes and enums are not');
});

t.test('streams cut short', async (t) => {
  const random = seededRandom(SEED + 3);
  let faults = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const stream = randomStream(random);
    const { fault } = feed(stream.subarray(0, Math.floor(random() * stream.length)), random);
    faults += fault === undefined ? 0 : 1;
  }
  t.ok(faults > ROUNDS * 0.9, `${faults} of ${ROUNDS} cuts were noticed, seed ${SEED}`);
});

t.test('headers that announce much take no memory', async (t) => {
  const random = seededRandom(SEED + 4);
  const decoders: FrameDecoder[] = [];
  let foreign = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const frame = new FrameEncoder().encode(MESSAGES[round % MESSAGES.length] as Message);
    frame.writeUInt32LE(Math.floor(random() * 2 ** 32), 8);
    const decoder = new FrameDecoder();
    try {
      decodeAll(decoder, frame.subarray(0, HEADER_BYTES));
    } catch (error) {
      foreign += error instanceof PmsmError ? 0 : 1;
    }
    decoders.push(decoder);
  }
  t.equal(foreign, 0);
  t.ok(decoders.every((decoder) => decoder.bufferedBytes <= HEADER_BYTES));
});
