/**
 * Names the page frames that differ after a move (option `--check`), and says which of them may.
 *
 * The kernel compares nothing: it makes digests before and after (kernel-patches/abi/check.rst). Some
 * code runs between the copy and the digest, and again between the jump and the second one, and what
 * that writes must differ. It is known, and short; whatever else differs is a defect.
 */
import { z } from 'zod';
import { FRAME_WAYS } from '../../../orchestrator/store/record.ts';
import type { MemoryCheckResult } from '../../../orchestrator/workflow/memory-check.ts';
import type { OnHost } from './verify.ts';

const PAGE_BYTES = 4096n;
/** Symbols of one frame, for whoever looks for the reason of a difference. */
const SYMBOLS_MAX = 256;

/** Variables that are written between a copy and its digest: where one of them is, a frame differs. */
const WRITTEN: Readonly<Record<'kernel' | 'per-cpu', Readonly<Record<string, string>>>> = {
  kernel: {
    phases: 'stamps of the steps: one follows the copy (kernel/power/phases.c)',
    nr_copy_pages: 'counters of the image: final after the copy (kernel/power/snapshot.c)',
    nr_same_pages: 'counters of the image: final after the copy (kernel/power/snapshot.c)',
    nr_zero_pages: 'counters of the image: final after the copy (kernel/power/snapshot.c)',
  },
  'per-cpu': {
    fpu_fpregs_owner_ctx: 'the FPU is given up after the jump (fpu__resume_cpu)',
    cyc2ns: 'the clock of every CPU is set after the jump (tsc_restore_sched_clock_state)',
    cpu_tlbstate: 'the TLB starts afresh after the jump (initialize_tlbstate_and_flush)',
  },
};
const STACK_REASON = 'the stack on which digests are made';

export const NamedFrameSchema = z.object({
  pfn: z.int().nonnegative(),
  how: z.enum(FRAME_WAYS),
  where: z.enum(['stack', 'per-cpu', 'kernel', 'other']),
  /** Variables in it; of a frame that is none of the kernel's own, flags as in /proc/kpageflags. */
  names: z.array(z.string().max(256)).max(SYMBOLS_MAX),
  /** Why it may differ; null if it may not. */
  reason: z.string().max(256).nullable(),
});

export type NamedFrame = z.infer<typeof NamedFrameSchema>;

const FLAGS = new Map([
  [4, 'dirty'],
  [5, 'lru'],
  [7, 'slab'],
  [10, 'buddy'],
  [11, 'mmap'],
  [12, 'anon'],
  [14, 'swapbacked'],
  [15, 'head'],
  [16, 'tail'],
  [17, 'hugetlb'],
  [22, 'thp'],
  [26, 'pagetable'],
  [32, 'reserved'],
]);

interface Variable {
  readonly address: bigint;
  readonly name: string;
}

/** Where a kernel's variables lie, as it says itself. */
export class SymbolTable {
  readonly #kernel: Variable[] = [];
  readonly #percpu: Variable[] = [];
  /** Address of the kernel's image less its place in memory. */
  readonly #offset: bigint;

  constructor(kallsyms: string, iomem: string) {
    let text: bigint | undefined;
    for (const line of kallsyms.split('\n')) {
      const [address = '', kind = '', name = ''] = line.trim().split(/\s+/);
      if (name === '' || !/^[0-9a-f]+$/.test(address)) continue;
      const variable = { address: BigInt(`0x${address}`), name };
      if (name === '_text') text = variable.address;
      if (!/^[abdr]$/i.test(kind)) continue;
      (variable.address < 1n << 32n ? this.#percpu : this.#kernel).push(variable);
    }
    const code = /^\s*([0-9a-f]+)-[0-9a-f]+ : Kernel code/m.exec(iomem)?.[1];
    if (text === undefined || code === undefined) {
      throw new Error('the kernel does not tell where it is');
    }
    this.#offset = text - BigInt(`0x${code}`);
    for (const table of [this.#kernel, this.#percpu]) {
      table.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
    }
  }

  /** Variables of the kernel's image in a frame, with the one that reaches into it. */
  inKernel(pfn: number): string[] {
    return inPage(this.#kernel, BigInt(pfn) * PAGE_BYTES + this.#offset);
  }

  /** The same for a frame of one CPU's variables, counted from their first. */
  inPercpu(index: number): string[] {
    return inPage(this.#percpu, BigInt(index) * PAGE_BYTES);
  }
}

function inPage(table: readonly Variable[], begin: bigint): string[] {
  const first = table.findIndex(({ address }) => address >= begin);
  if (first < 0) return [];
  const within = table.slice(first).filter(({ address }) => address < begin + PAGE_BYTES);
  const reaching = table[first]?.address === begin ? undefined : table[first - 1];
  const names = [...(reaching ? [reaching] : []), ...within].map(({ name }) => name);
  return names.slice(0, SYMBOLS_MAX);
}

type Differing = MemoryCheckResult['frames'][number];

/** `flags` has the flags of frames that belong to no known place. */
export function nameFrame(
  { pfn, how }: Differing,
  check: MemoryCheckResult,
  symbols: SymbolTable,
  flags: ReadonlyMap<number, bigint>,
): NamedFrame {
  if (check.stack.includes(pfn)) {
    return { pfn, how, where: 'stack', names: [], reason: STACK_REASON };
  }
  const area = check.percpu.find(
    ({ first_pfn, frames }) => pfn >= first_pfn && pfn < first_pfn + frames,
  );
  const where = area ? 'per-cpu' : 'kernel';
  const names = area ? symbols.inPercpu(pfn - area.first_pfn) : symbols.inKernel(pfn);
  if (names.length > 0) {
    const known = names.find((name) => Object.hasOwn(WRITTEN[where], name));
    return { pfn, how, where, names, reason: known ? (WRITTEN[where][known] ?? null) : null };
  }
  const set = flags.get(pfn) ?? 0n;
  const words = [...FLAGS].filter(([bit]) => (set >> BigInt(bit)) & 1n).map(([, word]) => word);
  return { pfn, how, where: 'other', names: words, reason: null };
}

/** Asks the machine that runs now; its frames are where they were before the move. */
export async function nameFrames(onHost: OnHost, check: MemoryCheckResult): Promise<NamedFrame[]> {
  if (check.frames.length === 0) return [];
  const kallsyms = await onHost("grep -E ' ([abdrABDR] |T _text$)' /proc/kallsyms");
  const symbols = new SymbolTable(kallsyms, await onHost('grep Kernel /proc/iomem'));
  const unknown = check.frames.filter(
    (frame) => nameFrame(frame, check, symbols, new Map()).where === 'other',
  );
  const pfns = unknown.slice(0, SYMBOLS_MAX).map(({ pfn }) => pfn);
  const flags = await flagsOf(onHost, pfns);
  return check.frames.map((frame) => nameFrame(frame, check, symbols, flags));
}

/** Everything was compared, and whatever differs has a reason. */
export function framesHold(
  check: MemoryCheckResult | null,
  differing: readonly NamedFrame[],
): boolean {
  return (
    check !== null &&
    check.compared > 0 &&
    check.differing + check.one_sided === differing.length &&
    differing.every(({ reason }) => reason !== null)
  );
}

async function flagsOf(onHost: OnHost, pfns: readonly number[]): Promise<Map<number, bigint>> {
  if (pfns.length === 0) return new Map();
  const read = 'dd if=/proc/kpageflags bs=8 count=1 skip=$n 2>/dev/null | od -An -tx8';
  const said = await onHost(`for n in ${pfns.join(' ')}; do ${read}; done`);
  const words = said.trim().split(/\s+/);
  return new Map(pfns.map((pfn, i) => [pfn, BigInt(`0x${words[i] ?? '0'}`)]));
}
