/** Frames that differ after a move: known ones are named with their reason, and nothing else passes. */
import t from 'tap';
import {
  framesHold,
  type NamedFrame,
  nameFrame,
  nameFrames,
  SymbolTable,
} from '../../../images/lab/demo/frames.ts';

// The kernel lies at 0x2000000 and runs at 0xffffffff83000000, as with address randomisation.
const KALLSYMS = [
  '0000000000000f80 D before',
  '0000000000001020 d fpu_fpregs_owner_ctx',
  '0000000000002000 d after',
  'ffffffff83000000 T _text',
  'ffffffff83400ff0 d reaching',
  'ffffffff83401040 d phases',
  'ffffffff83402000 b something_else',
  'ffffffff83403000 t a_function',
].join('\n');
const IOMEM = [
  '01000000-7ffdffff : System RAM',
  '  02000000-02bfffff : Kernel code',
  '  02c00000-02ffffff : Kernel data',
].join('\n');
const CHECK = {
  compared: 1000,
  differing: 0,
  one_sided: 0,
  frames: [] as { pfn: number; how: 'copied' }[],
  stack: [70],
  percpu: [{ cpu: 0, first_pfn: 80, frames: 3 }],
};
const frame = (pfn: number) => ({ pfn, how: 'copied' as const });
const symbols = new SymbolTable(KALLSYMS, IOMEM);

t.test('the kernel is found wherever it lies', async (t) => {
  t.strictSame(symbols.inKernel(0x2401), ['reaching', 'phases']);
  t.strictSame(symbols.inKernel(0x2402), ['something_else']);
  t.strictSame(symbols.inKernel(0x9999), [], 'no frame of the kernel');
  t.strictSame(symbols.inPercpu(1), ['before', 'fpu_fpregs_owner_ctx']);
  t.throws(() => new SymbolTable(KALLSYMS, ''), /does not tell where it is/);
});

t.test('a frame has a reason only if something in it is known to be written', async (t) => {
  const name = (pfn: number, flags = new Map<number, bigint>()) =>
    nameFrame({ pfn, how: 'copied' }, CHECK, symbols, flags);
  t.match(name(70), { where: 'stack', reason: /stack/ });
  t.match(name(0x2401), { where: 'kernel', reason: /stamps/ });
  t.match(name(0x2402), { where: 'kernel', names: ['something_else'], reason: null });
  t.match(name(81), { where: 'per-cpu', reason: /FPU/ });
  t.match(name(82), { where: 'per-cpu', names: ['after'], reason: null });
  const anon = new Map([[5000, (1n << 12n) | (1n << 5n)]]);
  t.match(name(5000, anon), { where: 'other', names: ['lru', 'anon'], reason: null });
});

t.test('the machine is asked for what is needed, and for nothing if all is equal', async (t) => {
  const asked: string[] = [];
  const onHost = async (command: string) => {
    asked.push(command);
    if (command.includes('kallsyms')) return KALLSYMS;
    return command.includes('iomem') ? IOMEM : ' 0000000000001000\n';
  };
  t.strictSame(await nameFrames(onHost, CHECK), []);
  t.equal(asked.length, 0);
  const named = await nameFrames(onHost, {
    ...CHECK,
    differing: 2,
    frames: [frame(70), frame(5000)],
  });
  t.match(named, [{ where: 'stack' }, { pfn: 5000, where: 'other', names: ['anon'] }]);
});

t.test('it holds only if everything was compared and explained', async (t) => {
  const known: NamedFrame = { ...frame(70), where: 'stack', names: [], reason: 'the stack' };
  const one = { ...CHECK, differing: 1, frames: [frame(70)] };
  t.ok(framesHold(CHECK, []));
  t.ok(framesHold(one, [known]));
  t.notOk(framesHold(one, [{ ...known, reason: null }]), 'one without a reason');
  t.notOk(framesHold({ ...one, one_sided: 1 }, [known]), 'more differ than were named');
  t.notOk(framesHold({ ...CHECK, compared: 0 }, []), 'nothing was compared');
  t.notOk(framesHold(null, []), 'no result');
});
