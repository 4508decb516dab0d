/**
 * Compares what all page frames held when the image was made with what they hold after it was
 * restored: a test of the engines, asked for with the option `check`. The digests come from the
 * kernels, which take them with nothing else running (kernel-patches/abi/check.rst).
 */
import { PmsmError } from '../../agent/wire/errors.ts';
import type { MessageOf } from '../../agent/wire/wire.gen.ts';
import { FRAME_WAYS, type Report } from '../store/record.ts';

/** Digests of 64 GiB; tests are smaller. */
const FRAMES_MAX = 16 * 1024 * 1024;
const NAMED_MAX = 4096;
const DIGEST_BYTES = 8;
/** The lowest bits of a digest say what became of the frame; the rest is of its contents. */
const HOW_BITS = 3n;
const HOW_MASK = (1n << HOW_BITS) - 1n;

export type MemoryCheckResult = NonNullable<Report['check']>;

export class MemoryCheck {
  readonly #source = new Map<number, Uint8Array>();
  readonly #result: MemoryCheckResult = {
    compared: 0,
    differing: 0,
    one_sided: 0,
    frames: [],
    stack: [],
    percpu: [],
  };
  #frames = 0;
  #seen = 0;
  #bytes = 0;

  /** From the source, before the jump. */
  keep(message: MessageOf<'frame_digests'>): void {
    const { first_pfn, frames, digests } = message;
    if (frames > FRAMES_MAX || this.#bytes + digests.length > FRAMES_MAX * DIGEST_BYTES) {
      throw new PmsmError('protocol-error', 'too much memory to check');
    }
    this.#bytes += digests.length;
    this.#frames = Number(frames);
    this.#source.set(Number(first_pfn), Uint8Array.from(digests));
    this.#noteOwn(message);
  }

  /** From the resumed machine, in the same pieces. */
  compare(message: MessageOf<'frame_digests'>): void {
    const { first_pfn, digests } = message;
    const before = this.#source.get(Number(first_pfn));
    if (before?.length !== digests.length) {
      throw new PmsmError('protocol-error', 'digests of other frames than the source has sent');
    }
    this.#noteOwn(message);
    const ours = viewOf(before);
    const theirs = viewOf(digests);
    for (let at = 0; at < digests.length; at += DIGEST_BYTES) {
      this.#compareOne(
        Number(first_pfn) + at / DIGEST_BYTES,
        ours.getBigUint64(at, true),
        theirs.getBigUint64(at, true),
      );
    }
    this.#seen += digests.length / DIGEST_BYTES;
  }

  /** Undefined as long as not everything was compared. */
  result(): MemoryCheckResult | undefined {
    return this.#frames > 0 && this.#seen >= this.#frames ? this.#result : undefined;
  }

  #compareOne(pfn: number, before: bigint, after: bigint): void {
    const result = this.#result;
    if (before !== 0n && after !== 0n) result.compared += 1;
    if (before >> HOW_BITS === after >> HOW_BITS) return;
    if (before === 0n || after === 0n) result.one_sided += 1;
    else result.differing += 1;
    const how = FRAME_WAYS[Number(before & HOW_MASK)] ?? 'unknown';
    if (result.frames.length < NAMED_MAX) result.frames.push({ pfn, how });
  }

  /** Both bodies have these frames at the same place: they are the same machine. */
  #noteOwn({ stack, percpu_pfn: percpu, percpu_frames }: MessageOf<'frame_digests'>): void {
    const result = this.#result;
    for (const pfn of stack.map(Number)) {
      if (pfn !== 0 && !result.stack.includes(pfn) && result.stack.length < 16) {
        result.stack.push(pfn);
      }
    }
    result.percpu = percpu.map(Number).flatMap((first_pfn, cpu) => {
      return first_pfn === 0 ? [] : { cpu, first_pfn, frames: Number(percpu_frames) };
    });
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
