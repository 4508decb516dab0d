import t from 'tap';
import type { Facts } from '../../../agent/source/facts.ts';
import { FactsSchema } from '../../../agent/source/facts.ts';
import {
  chooseEngine,
  compareMachines,
  firstRefusal,
} from '../../../orchestrator/workflow/preflight.ts';
import { makeFacts, makePatchedFacts } from './fakes.ts';

t.test('equal machines', async (t) => {
  const findings = compareMachines(makeFacts(), makeFacts(), 'full');
  t.strictSame(
    findings.map(({ severity }) => severity),
    ['ok', 'ok', 'ok', 'ok', 'ok', 'ok'],
  );
});

const base = makeFacts();
const CASES: Array<[name: string, target: Facts, code: string, named: RegExp]> = [
  [
    'another kernel release',
    makeFacts({ kernel: { ...base.kernel, release: '6.12.1' } }),
    'kernel-mismatch',
    /source 6\.12\.0, target 6\.12\.1/,
  ],
  [
    'the same release, another build',
    makeFacts({ kernel: { ...base.kernel, version: '#2 SMP' } }),
    'kernel-mismatch',
    /build: source #1 SMP, target #2 SMP/,
  ],
  [
    'less memory',
    makeFacts({ memory: { ...base.memory, total_bytes: 1_073_741_824 } }),
    'memory-size-mismatch',
    /source 2147483648, target 1073741824/,
  ],
  [
    'other present pages',
    makeFacts({ memory: { ...base.memory, present_pages: 5 } }),
    'memory-size-mismatch',
    /present pages: source 524000, target 5/,
  ],
  [
    'a standby for the engine delta only',
    makeFacts({ memory: { ...base.memory, image_ram_bytes: 2_013_265_920 } }),
    'engine-unavailable',
    /its kernel keeps 2013265920 bytes/,
  ],
  [
    'another memory map',
    makeFacts({
      memory: { ...base.memory, map_digest: 'ffff', map: [{ start: 0, end: 1, type: 'ACPI' }] },
    }),
    'memory-map-mismatch',
    /source abcd, target ffff.*only source.*System RAM.*only target.*ACPI/,
  ],
  [
    'another CPU model',
    makeFacts({ cpu: { ...base.cpu, name: 'B CPU' } }),
    'cpu-mismatch',
    /source A CPU, target B CPU/,
  ],
  [
    'another stepping',
    makeFacts({ cpu: { ...base.cpu, stepping: 2 } }),
    'cpu-mismatch',
    /stepping: source 1, target 2/,
  ],
  [
    'a feature less',
    makeFacts({ cpu: { ...base.cpu, flags: ['sse'] } }),
    'cpu-mismatch',
    /the target lacks avx/,
  ],
  [
    'a device less',
    makeFacts({ pci: [] }),
    'device-mismatch',
    /slot 0000:00:02\.0: source 0x8086:0x10d3 .*, target empty/,
  ],
  [
    'another device in the slot',
    makeFacts({ pci: [{ ...base.pci[0], slot: '0000:00:02.0', device: '0x1533' } as never] }),
    'device-mismatch',
    /0x10d3.*0x1533/,
  ],
  [
    'a standby whose devices did not stop when it tried',
    makeFacts({ hibernation: { available: true, rehearsal: 'failed' } }),
    'standby-unfit',
    /what it tried once, for the jump, has failed/,
  ],
];

for (const [name, target, code, named] of CASES) {
  t.test(name, async (t) => {
    const findings = compareMachines(makeFacts(), target, 'full');
    const refusal = firstRefusal(findings);
    t.equal(refusal?.code, code);
    t.match(refusal?.found, named);
    t.ok(refusal?.remedy);
    t.equal(findings.filter(({ severity }) => severity === 'refuse').length, 1, 'nothing else');
  });
}

t.test('fewer CPUs are refused, more and further features are not', async (t) => {
  const two = makeFacts({ cpu: { ...base.cpu, count: 2 } });
  t.equal(firstRefusal(compareMachines(two, makeFacts(), 'full'))?.code, 'cpu-mismatch');
  t.equal(firstRefusal(compareMachines(makeFacts(), two, 'full')), undefined);
  const more = makeFacts({ cpu: { ...base.cpu, flags: ['sse', 'avx', 'amx'] } });
  t.equal(firstRefusal(compareMachines(makeFacts(), more, 'full')), undefined);
});

t.test('a standby that has rehearsed says so, and one that could not is not blamed', async (t) => {
  const found = (rehearsal: 'held' | null): string | undefined => {
    const target = makeFacts({ hibernation: { available: true, rehearsal } });
    const findings = compareMachines(makeFacts(), target, 'delta');
    return findings.find(({ code, severity }) => code === 'standby-unfit' && severity === 'ok')
      ?.found;
  };
  t.equal(found('held'), 'they stopped when it tried');
  t.equal(found(null), 'it has not tried');
});

t.test('a map that the kernel does not show is a warning', async (t) => {
  const blind = makeFacts({ memory: { ...base.memory, map_digest: null } });
  const finding = compareMachines(blind, blind, 'full').find(
    ({ code }) => code === 'memory-map-mismatch',
  );
  t.equal(finding?.severity, 'warn');
});

t.test('another build is no obstacle to an image of the engine delta', async (t) => {
  const kernel = { release: '6.12.0-other', version: '#2 SMP', image_format: 1 };
  const other = makeFacts({ kernel });
  const ours = makePatchedFacts();
  t.equal(firstRefusal(compareMachines(ours, other, 'delta')), undefined);
  t.match(compareMachines(ours, other, 'delta')[0], { severity: 'warn' }, 'but it is said');
  t.match(compareMachines(ours, ours, 'delta')[0], { severity: 'ok' });
  t.match(firstRefusal(compareMachines(ours, other, 'full')), { code: 'kernel-mismatch' });
  t.equal(chooseEngine('auto', ours, other), 'delta');
  t.equal(chooseEngine('auto', ours, makeFacts()), 'full');
  t.equal(chooseEngine('auto', makePatchedFacts(2), ours), 'full', 'formats differ');
  t.equal(chooseEngine('full', ours, other), 'full');
});

t.test('many differences are counted, not all named', async (t) => {
  const pci = Array.from({ length: 50 }, (_, i) => ({ ...base.pci[0], slot: `0000:01:${i}` }));
  const refusal = firstRefusal(compareMachines(makeFacts(), makeFacts({ pci } as never), 'full'));
  t.match(refusal?.found, /and 47 more/);
  t.ok((refusal?.found.length ?? 0) < 2048);
});

t.test('facts may hold more than is known here, and null for what is not', async (t) => {
  const { success } = FactsSchema.safeParse({
    ...makeFacts(),
    extra: { any: 'thing' },
    migration: { interface: '', address: null, prefix: null, mac: null, single_nic: false },
    kernel: { release: 'a', version: 'b', patched: null },
  });
  t.ok(success);
});
