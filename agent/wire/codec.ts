// Messages to frames and back. The layout comes from wire.gen.ts; docs/protocol.md describes it.
// A decoder treats every byte as hostile: it decides from the header alone how much it will take, before it takes it.

import { createXXHash64 } from 'hash-wasm';
import { PmsmError } from './errors.ts';
import {
  ENUMS,
  type EnumName,
  type FieldLayout,
  HEADER_BYTES,
  LAYOUT,
  LIMITS,
  type Message,
  type MessageLayout,
  WIRE_MAGIC,
  WIRE_VERSION,
} from './wire.gen.ts';

// Byte offsets in the header, see HEADER_LAYOUT; test/unit/wire compares the two.
const AT = {
  magic: 0,
  version: 4,
  type: 6,
  payload_bytes: 8,
  sequence: 12,
  payload_digest: 16,
  header_digest: 24,
} as const;

const SEQUENCE_END = 2 ** 32;

const LAYOUT_BY_NUMBER: ReadonlyMap<number, MessageLayout> = new Map(
  Object.values(LAYOUT).map((layout) => [layout.number, layout]),
);

const hasher = await createXXHash64(0, 0);
const textDecoder = new TextDecoder('utf-8');

type Values = Record<string, unknown>;

interface Header {
  layout: MessageLayout;
  payload_bytes: number;
  digest: bigint;
}

/** XXH64 with seed 0. */
export function xxh64(bytes: Uint8Array): bigint {
  const digest = hasher.init().update(bytes).digest('binary');
  return Buffer.from(digest.buffer, digest.byteOffset, digest.length).readBigUInt64BE(0);
}

function headerDigest(head: Buffer): bigint {
  return xxh64(head.subarray(0, AT.header_digest));
}

/** One frame. Throws `internal` for a message that the wire format cannot hold: that is a fault of the caller. */
export function encodeFrame(message: Message, sequence: number): Buffer {
  const layout = LAYOUT[message.type];
  const values = message as unknown as Values;
  const tail = tailBytes(layout, values);
  const frame = Buffer.alloc(HEADER_BYTES + layout.fixed_bytes + tail.length);
  const payload = frame.subarray(HEADER_BYTES);
  for (const field of layout.fields) {
    writeField(payload, field, values[field.name], layout.name);
  }
  payload.set(tail, layout.fixed_bytes);
  frame.writeUInt32LE(WIRE_MAGIC, AT.magic);
  frame.writeUInt16LE(WIRE_VERSION, AT.version);
  frame.writeUInt16LE(layout.number, AT.type);
  frame.writeUInt32LE(payload.length, AT.payload_bytes);
  frame.writeUInt32LE(sequence % SEQUENCE_END, AT.sequence);
  frame.writeBigUInt64LE(xxh64(payload), AT.payload_digest);
  frame.writeBigUInt64LE(headerDigest(frame), AT.header_digest);
  return frame;
}

/** Counts the sequence of one direction of one connection. */
export class FrameEncoder {
  #sequence = 0;

  encode(message: Message): Buffer {
    const frame = encodeFrame(message, this.#sequence);
    this.#sequence = (this.#sequence + 1) % SEQUENCE_END;
    return frame;
  }
}

export interface FrameDecoderOptions {
  /** Largest payload to take, beside the limit of each type. Default: that of a control link. */
  max_payload_bytes?: number;
  /** Sequence number of the first frame. Default 0. */
  sequence?: number;
}

/**
 * Decodes the frames of one direction of one connection. Holds at most one header and one payload. After the first
 * fault every further push throws the same error: nothing that follows a fault can be trusted.
 */
export class FrameDecoder {
  readonly #maxPayloadBytes: number;
  readonly #head = Buffer.alloc(HEADER_BYTES);
  #headFilled = 0;
  #header: Header | undefined;
  #payload = Buffer.alloc(0);
  #payloadFilled = 0;
  #sequence: number;
  #fault: PmsmError | undefined;

  constructor(options: FrameDecoderOptions = {}) {
    this.#maxPayloadBytes = options.max_payload_bytes ?? LIMITS.control_payload_bytes;
    this.#sequence = options.sequence ?? 0;
  }

  /** Bytes held of an unfinished frame. */
  get bufferedBytes(): number {
    return this.#headFilled + this.#payloadFilled;
  }

  /**
   * Takes `chunk` in and returns the messages that it completes. All of it is decoded at once; the iterator then gives
   * the messages that were good and throws after them if the chunk held a fault, so that none is lost.
   */
  push(chunk: Uint8Array): Generator<Message, void, undefined> {
    const messages: Message[] = [];
    if (this.#fault === undefined) {
      try {
        this.#consume(chunk, messages);
      } catch (error) {
        this.#fault = error as PmsmError;
        this.#drop();
      }
    }
    return deliver(messages, this.#fault);
  }

  /** To be called at the end of the connection: throws if it ends inside a frame. */
  finish(): void {
    if (this.#fault !== undefined) {
      throw this.#fault;
    }
    if (this.bufferedBytes > 0) {
      throw protocolError(
        `The connection ended inside a frame, after ${this.bufferedBytes} bytes.`,
      );
    }
  }

  #consume(chunk: Uint8Array, messages: Message[]): void {
    let at = 0;
    while (at < chunk.length) {
      at += this.#header === undefined ? this.#takeHead(chunk, at) : this.#takePayload(chunk, at);
      if (this.#header !== undefined && this.#payloadFilled === this.#payload.length) {
        messages.push(decodePayload(this.#header, this.#payload));
        this.#drop();
        this.#sequence = (this.#sequence + 1) % SEQUENCE_END;
      }
    }
  }

  #takeHead(chunk: Uint8Array, at: number): number {
    const taken = Math.min(HEADER_BYTES - this.#headFilled, chunk.length - at);
    this.#head.set(chunk.subarray(at, at + taken), this.#headFilled);
    this.#headFilled += taken;
    if (this.#headFilled === HEADER_BYTES) {
      const header = decodeHeader(this.#head, this.#sequence, this.#maxPayloadBytes);
      this.#header = header;
      this.#payload = Buffer.alloc(header.payload_bytes);
      this.#payloadFilled = 0;
    }
    return taken;
  }

  #takePayload(chunk: Uint8Array, at: number): number {
    const taken = Math.min(this.#payload.length - this.#payloadFilled, chunk.length - at);
    this.#payload.set(chunk.subarray(at, at + taken), this.#payloadFilled);
    this.#payloadFilled += taken;
    return taken;
  }

  #drop(): void {
    this.#headFilled = 0;
    this.#header = undefined;
    this.#payload = Buffer.alloc(0);
    this.#payloadFilled = 0;
  }
}

function* deliver(
  messages: Message[],
  fault: PmsmError | undefined,
): Generator<Message, void, undefined> {
  yield* messages;
  if (fault !== undefined) {
    throw fault;
  }
}

function protocolError(detail: string): PmsmError {
  return new PmsmError('protocol-error', detail);
}

// The order of the checks is part of the protocol: C makes the same ones in the same order.
function decodeHeader(head: Buffer, sequence: number, maxPayloadBytes: number): Header {
  if (head.readUInt32LE(AT.magic) !== WIRE_MAGIC) {
    throw protocolError('The peer does not speak this protocol: wrong magic.');
  }
  const version = head.readUInt16LE(AT.version);
  if (version !== WIRE_VERSION) {
    throw new PmsmError(
      'version-mismatch',
      `The peer speaks ${version}, this side ${WIRE_VERSION}.`,
    );
  }
  if (head.readBigUInt64LE(AT.header_digest) !== headerDigest(head)) {
    throw new PmsmError('digest-mismatch', 'The header of a frame arrived damaged.');
  }
  const got = head.readUInt32LE(AT.sequence);
  if (got !== sequence) {
    throw protocolError(`Frame ${got} came where ${sequence} was due.`);
  }
  const number = head.readUInt16LE(AT.type);
  const layout = LAYOUT_BY_NUMBER.get(number);
  if (layout === undefined) {
    throw protocolError(`There is no message ${number}.`);
  }
  const bytes = head.readUInt32LE(AT.payload_bytes);
  const most = Math.min(layout.max_payload_bytes, maxPayloadBytes);
  if (bytes < layout.fixed_bytes || bytes > most) {
    throw protocolError(
      `Message ${layout.name} has ${bytes} bytes, allowed are ${layout.fixed_bytes} to ${most}.`,
    );
  }
  return { layout, payload_bytes: bytes, digest: head.readBigUInt64LE(AT.payload_digest) };
}

function decodePayload({ layout, digest }: Header, payload: Buffer): Message {
  if (xxh64(payload) !== digest) {
    throw new PmsmError('digest-mismatch', `Message ${layout.name} arrived damaged.`);
  }
  const values: Values = { type: layout.name };
  for (const field of layout.fields) {
    if (field.kind === 'zero') {
      checkZero(payload, field, layout.name);
    } else {
      values[field.name] = readField(payload, field, layout.name);
    }
  }
  if (layout.tail !== null) {
    const tail = payload.subarray(layout.fixed_bytes);
    values[layout.tail.name] = layout.tail.kind === 'text' ? readText(tail) : tail;
  }
  return values as unknown as Message;
}

function checkZero(payload: Buffer, field: FieldLayout, message: string): void {
  if (payload.subarray(field.offset, field.offset + field.bytes).some((byte) => byte !== 0)) {
    throw protocolError(`Reserved bytes of message ${message} are not zero.`);
  }
}

// Texts are for people and end on terminals: what is not valid, or would steer a terminal, is replaced.
function readText(bytes: Uint8Array): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  return textDecoder.decode(bytes).replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '\ufffd');
}

function readField(payload: Buffer, field: FieldLayout, message: string): unknown {
  const { offset, bytes } = field;
  switch (field.kind) {
    case 'u8':
    case 'u16':
    case 'u32':
      return payload.readUIntLE(offset, bytes);
    case 'u64':
      return payload.readBigUInt64LE(offset);
    case 'enum':
      return enumName(field, payload.readUInt8(offset), message);
    case 'hex':
      return payload.toString('hex', offset, offset + bytes);
    case 'array':
      return Array.from({ length: bytes / 8 }, (_, i) => payload.readBigUInt64LE(offset + i * 8));
    case 'zero':
      return undefined;
  }
}

function enumName(field: FieldLayout, value: number, message: string): string {
  const entries = Object.entries(ENUMS[field.enum as EnumName]);
  const entry = entries.find(([, candidate]) => candidate === value);
  if (entry === undefined) {
    throw protocolError(
      `Field ${field.name} of message ${message} holds the unknown value ${value}.`,
    );
  }
  return entry[0];
}

function writeField(payload: Buffer, field: FieldLayout, value: unknown, message: string): void {
  const { offset, bytes } = field;
  switch (field.kind) {
    case 'u8':
    case 'u16':
    case 'u32':
      demand(isUint(value, bytes), field, message);
      payload.writeUIntLE(value as number, offset, bytes);
      return;
    case 'u64':
      demand(isUint64(value), field, message);
      payload.writeBigUInt64LE(value as bigint, offset);
      return;
    case 'enum':
      payload.writeUInt8(enumValue(field, value, message), offset);
      return;
    case 'hex':
      demand(isHex(value, bytes), field, message);
      payload.write(value as string, offset, 'hex');
      return;
    case 'array':
      demand(Array.isArray(value) && value.length * 8 === bytes, field, message);
      for (const [index, item] of (value as unknown[]).entries()) {
        demand(isUint64(item), field, message);
        payload.writeBigUInt64LE(item as bigint, offset + index * 8);
      }
      return;
    case 'zero':
      return;
  }
}

function demand(holds: boolean, field: { name: string }, message: string): void {
  if (!holds) {
    throw new PmsmError('internal', `Field ${field.name} of message ${message} cannot be encoded.`);
  }
}

function isUint(value: unknown, bytes: number): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** (bytes * 8);
}

function isUint64(value: unknown): boolean {
  return typeof value === 'bigint' && value >= 0n && value < 1n << 64n;
}

function isHex(value: unknown, bytes: number): boolean {
  return typeof value === 'string' && value.length === bytes * 2 && /^[0-9a-f]*$/.test(value);
}

function enumValue(field: FieldLayout, value: unknown, message: string): number {
  const table: Readonly<Record<string, number>> = ENUMS[field.enum as EnumName];
  const known = typeof value === 'string' && Object.hasOwn(table, value);
  demand(known, field, message);
  return table[value as string] as number;
}

function tailBytes(layout: MessageLayout, values: Values): Uint8Array {
  const tail = layout.tail;
  if (tail === null) {
    return new Uint8Array(0);
  }
  const value = values[tail.name];
  demand(
    tail.kind === 'text' ? typeof value === 'string' : value instanceof Uint8Array,
    tail,
    layout.name,
  );
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : (value as Uint8Array);
  demand(bytes.length <= tail.max_bytes, tail, layout.name);
  return bytes;
}
