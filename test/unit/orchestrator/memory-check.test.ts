/** Comparing what all page frames held before and after: a difference must show, and only that. */
import t from 'tap';
import type { MessageOf } from '../../../agent/wire/wire.gen.ts';
import { MemoryCheck } from '../../../orchestrator/workflow/memory-check.ts';

const FRAMES = 6n;
/** What the lowest bits of a digest say: copied into the image, left out, restored. */
const COPIED = 1n;
const SEALED = 4n;
const RESTORED = 5n;

function digestsOf(
  values: readonly bigint[],
  first_pfn: bigint,
  how = COPIED,
): MessageOf<'frame_digests'> {
  const digests = Buffer.alloc(values.length * 8);
  values.forEach((value, i) => {
    digests.writeBigUInt64LE(value === 0n ? 0n : (value << 3n) | how, i * 8);
  });
  const stack = [first_pfn + 100n, 0n, 0n, 0n, 0n, 0n, 0n, 0n];
  return {
    type: 'frame_digests',
    first_pfn,
    frames: FRAMES,
    stack,
    percpu_frames: 2n,
    percpu_pfn: [50n, 60n, 0n, 0n, 0n, 0n, 0n, 0n],
    digests,
  };
}

t.test('every difference is found', async (t) => {
  const check = new MemoryCheck();
  check.keep(digestsOf([1n, 2n, 0n, 4n], 0n, SEALED));
  check.keep(digestsOf([5n, 6n], 4n));
  check.compare(digestsOf([1n, 7n, 3n, 4n], 0n, RESTORED));
  t.equal(check.result(), undefined, 'as long as something is missing there is no result');
  check.compare(digestsOf([5n, 6n], 4n, RESTORED));
  t.strictSame(check.result(), {
    compared: 5,
    differing: 1,
    one_sided: 1,
    frames: [
      { pfn: 1, how: 'sealed' },
      { pfn: 2, how: 'unknown' },
    ],
    stack: [100, 104],
    percpu: [
      { cpu: 0, first_pfn: 50, frames: 2 },
      { cpu: 1, first_pfn: 60, frames: 2 },
    ],
  });
});

t.test('equal memory has no difference', async (t) => {
  const check = new MemoryCheck();
  for (const side of ['keep', 'compare'] as const) {
    check[side](digestsOf([1n, 2n, 3n, 0n, 5n, 6n], 0n));
  }
  t.match(check.result(), { compared: 5, differing: 0, one_sided: 0, frames: [] });
});

t.test('digests that do not belong together are refused', async (t) => {
  const check = new MemoryCheck();
  t.throws(() => check.compare(digestsOf([1n], 0n)), { code: 'protocol-error' });
  check.keep(digestsOf([1n, 2n], 0n));
  t.throws(() => check.compare(digestsOf([1n], 0n)), { code: 'protocol-error' });
  t.throws(() => check.keep({ ...digestsOf([1n], 0n), frames: 1n << 40n }), {
    code: 'protocol-error',
  });
});

t.test('more digests than there can be frames are refused', async (t) => {
  const check = new MemoryCheck();
  const many = { ...digestsOf([], 0n), frames: 16n << 20n, digests: Buffer.alloc(64 << 20) };
  check.keep(many);
  check.keep({ ...many, first_pfn: 1n << 30n });
  t.throws(() => check.keep({ ...many, first_pfn: 1n << 40n }), { code: 'protocol-error' });
});
