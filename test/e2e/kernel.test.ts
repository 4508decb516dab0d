/**
 * The patched device by itself: kernel-patches/test/ in two machines that run one after the other and share a disk.
 * The first writes an image, the second refuses what is wrong with it, then wakes up as the first. Frames that have
 * failed take one machine.
 *
 * PMSM_TEST_KERNEL=hardened runs what needs one processor with that kernel instead (kernel-patches/README.md).
 */
import { chmodSync, copyFileSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { z } from 'zod';
import { labKernel } from '../../images/kernel.ts';
import { inTree } from '../../images/paths.ts';
import { run } from '../../images/processes.ts';
import { textProgress } from '../../images/progress.ts';
import { runCommand } from '../run.ts';

// The runner has the limit.
t.setTimeout(0);

const MACHINE_LIMIT_MS = 240_000;
const DISK_BYTES = 3 * 2 ** 30;
const SMALL_DISK_BYTES = 64 * 2 ** 20;
const BUSYBOX = '/usr/bin/busybox';
const MKE2FS = '/usr/sbin/mke2fs';
const PROGRAMS = [
  'snapshot-test',
  'hold-test',
  'delta-test',
  'poison-test',
  'track-test',
  'track-stress',
] as const;
const WORDS = ['console=ttyS0', 'panic=-1', 'quiet'];
const FLAGS = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-static'];

const directory = t.testdir({});
const variant = z
  .enum(['patched', 'hardened', 'debug'])
  .parse(process.env.PMSM_TEST_KERNEL ?? 'patched');
const kernel = await labKernel(variant, textProgress());
await makeInitramfs();

/** Busybox, the init beside the tests, and the tests, built against the header of this very kernel. */
async function makeInitramfs(): Promise<void> {
  const root = resolve(directory, 'root');
  for (const name of ['bin', 'dev', 'proc', 'sys']) {
    mkdirSync(resolve(root, name), { recursive: true });
  }
  place(BUSYBOX, resolve(root, 'bin/busybox'));
  place(inTree('kernel-patches/test/init'), resolve(root, 'init'));
  const header = dirname(kernel.artefact.path('suspend_ioctls.h'));
  for (const name of PROGRAMS) {
    const source = inTree(`kernel-patches/test/${name}.c`);
    await run(['gcc', ...FLAGS, '-I', header, '-o', resolve(root, 'bin', name), source]);
  }
  const script = 'cd "$1"; find . | cpio --quiet -o -H newc -R 0:0 | gzip -1 >"$2"';
  await run(['sh', '-euc', script, 'sh', root, resolve(directory, 'initramfs')]);
}

function place(from: string, to: string): void {
  copyFileSync(from, to);
  chmodSync(to, 0o755);
}

interface Case {
  program: (typeof PROGRAMS)[number];
  memory_mib: number;
  cpus: number;
  roles: readonly ('source' | 'target')[];
  /** What the target's kernel uses itself of its memory: how much, and where. */
  loader?: string;
  /** The disk has a file system, and a second one has one with inline data. */
  file_systems?: boolean;
  /** What is read from a disk or written to it goes through bounce buffers. */
  bounce?: boolean;
}

async function runMachine(role: string, one: Case): Promise<string> {
  const { program, memory_mib, cpus } = one;
  const small = one.loader !== undefined && role === 'target';
  const loader = small ? [`hibernate_loader=${one.loader}`] : [];
  const bounce = one.bounce === true ? ['iommu=soft', 'swiotlb=8192,force'] : [];
  const blk = one.bounce === true ? ',iommu_platform=on,disable-legacy=on' : '';
  const argv: [string, ...string[]] = [
    'qemu-system-x86_64',
    ...['-M', 'q35', '-accel', 'tcg,thread=multi', '-smp', `${cpus}`, '-m', `${memory_mib}`],
    ...['-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot'],
    ...['-kernel', kernel.image, '-initrd', resolve(directory, 'initramfs')],
    ...['-append', [...WORDS, ...loader, ...bounce, `test=${program}`, `role=${role}`].join(' ')],
    ...['-drive', `file=${resolve(directory, 'disk')},if=none,id=disk,format=raw,cache=unsafe`],
    ...['-device', `virtio-blk-pci,drive=disk${blk}`],
    ...['-drive', `file=${resolve(directory, 'small')},if=none,id=small,format=raw,cache=unsafe`],
    ...['-device', `virtio-blk-pci,drive=small${blk}`],
  ];
  const ended = await runCommand({ argv, cwd: directory, timeout_ms: MACHINE_LIMIT_MS });
  return `${ended.output.replaceAll('\r', '')}\n# ended with ${ended.code}\n`;
}

/** A machine's own TAP: each of its checks is one here. */
function checkOutput(t: Test, role: string, output: string): void {
  const lines = output.split('\n').filter((line) => /^(not )?ok \d/.test(line));
  for (const line of lines)
    t.match(line, /^ok /, `${role}: ${line.replace(/^(not )?ok \d+ - /, '')}`);
  t.match(output, /^done, 0 failures$/m, `${role} came to its end: ${output.slice(-3000)}`);
}

const BOTH = ['source', 'target'] as const;
const CASES: Case[] = [
  { program: 'snapshot-test', memory_mib: 1024, cpus: 1, roles: BOTH },
  { program: 'hold-test', memory_mib: 512, cpus: 1, roles: BOTH },
  { program: 'hold-test', memory_mib: 512, cpus: 2, roles: BOTH },
  { program: 'delta-test', memory_mib: 768, cpus: 1, roles: BOTH },
  { program: 'delta-test', memory_mib: 768, cpus: 2, roles: BOTH },
  { program: 'delta-test', memory_mib: 768, cpus: 2, roles: BOTH, loader: '96M' },
  { program: 'delta-test', memory_mib: 768, cpus: 1, roles: BOTH, loader: '64M@384M' },
  { program: 'poison-test', memory_mib: 512, cpus: 1, roles: ['source'] },
  { program: 'track-test', memory_mib: 768, cpus: 1, roles: ['source'], file_systems: true },
  { program: 'track-test', memory_mib: 768, cpus: 2, roles: ['source'], file_systems: true },
  {
    program: 'track-test',
    memory_mib: 768,
    cpus: 1,
    roles: ['source'],
    file_systems: true,
    bounce: true,
  },
  { program: 'track-stress', memory_mib: 192, cpus: 1, roles: ['source'], file_systems: true },
  { program: 'track-stress', memory_mib: 192, cpus: 2, roles: ['source'], file_systems: true },
];

function makeDisk(name: string, bytes: number): string {
  const path = resolve(directory, name);
  writeFileSync(path, '');
  truncateSync(path, bytes);
  return path;
}

async function makeDisks({ file_systems }: Case): Promise<void> {
  const disk = makeDisk('disk', DISK_BYTES);
  const small = makeDisk('small', SMALL_DISK_BYTES);
  if (!file_systems) return;
  await run([MKE2FS, '-q', '-t', 'ext4', '-E', 'lazy_itable_init=0', disk]);
  await run([MKE2FS, '-q', '-t', 'ext4', '-O', 'inline_data', '-I', '256', small]);
}

// The other kernels patch their own code, which the emulator of two processors may get wrong.
for (const one of CASES.filter(({ cpus }) => variant === 'patched' || cpus === 1)) {
  const loader = one.loader === undefined ? '' : `, a loader in ${one.loader}`;
  const bounce = one.bounce === true ? ', bounce buffers' : '';
  t.test(`${one.program}, ${one.cpus} CPU${loader}${bounce}`, async (t) => {
    await makeDisks(one);
    for (const role of one.roles) checkOutput(t, role, await runMachine(role, one));
    truncateSync(resolve(directory, 'disk'), 0);
  });
}
