// What several wire tests share.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FrameDecoder, xxh64 } from '../../../agent/wire/codec.ts';
import { PmsmError } from '../../../agent/wire/errors.ts';
import { type GoodVector, loadVectors } from '../../../agent/wire/generator/frames.ts';
import {
  HEADER_BYTES,
  LAYOUT,
  type Message,
  type MessageType,
} from '../../../agent/wire/wire.gen.ts';

export const ROOT = join(import.meta.dirname, '../../..');
export const VECTORS = loadVectors(join(ROOT, 'agent/wire/vectors'));

/** Takes every message, those of the stream too. */
export function anyDecoder(): FrameDecoder {
  return new FrameDecoder({ max_payload_bytes: Number.MAX_SAFE_INTEGER });
}

/** The messages that `bytes` completes; throws if they hold a fault. */
export function decodeAll(decoder: FrameDecoder, bytes: Uint8Array): Message[] {
  return [...decoder.push(bytes)];
}

export function fromHex(hex: string): Buffer {
  return Buffer.from(hex, 'hex');
}

/** The message that a vector describes, with bigint and bytes in place of their JSON forms. */
export function messageOf(vector: GoodVector): Message {
  const layout = LAYOUT[vector.message.type as MessageType];
  const values: Record<string, unknown> = { ...vector.message };
  for (const field of layout.fields) {
    const value = values[field.name];
    if (field.kind === 'u64') {
      values[field.name] = BigInt(value as string);
    } else if (field.kind === 'array') {
      values[field.name] = (value as string[]).map(BigInt);
    }
  }
  if (layout.tail?.kind === 'blob') {
    values[layout.tail.name] = fromHex(values[layout.tail.name] as string);
  }
  return values as unknown as Message;
}

/** What `work` throws, as PmsmError; anything else is thrown on, and so fails the test. */
export function faultOf(work: () => unknown): PmsmError | undefined {
  try {
    work();
  } catch (error) {
    if (error instanceof PmsmError) {
      return error;
    }
    throw error;
  }
  return undefined;
}

/** A small generator of numbers in [0, 1), the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function readText(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** Makes both digests of a frame agree with what was changed in it. */
export function seal(frame: Buffer): void {
  frame.writeBigUInt64LE(xxh64(frame.subarray(HEADER_BYTES)), 16);
  frame.writeBigUInt64LE(xxh64(frame.subarray(0, 24)), 24);
}
