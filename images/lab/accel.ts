/**
 * Which accelerator works here. /dev/kvm may exist, open, even create a virtual machine and still never run a kernel,
 * so KVM is used only after a boot of the lab's own kernel has succeeded with it. The answer is cached.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { resolve } from 'node:path';
import { digestOf } from '../cache.ts';
import { onInterrupt } from '../cleanup.ts';
import { cacheDirectory } from '../paths.ts';
import { tether } from '../processes.ts';
import type { Progress } from '../progress.ts';
import type { Emulator } from './emulator.ts';

export interface Accelerator {
  name: 'kvm' | 'tcg';
  /** QEMU's arguments for accelerator and CPU model. */
  arguments: string[];
  /** Host, QEMU and CPU model: what a saved machine state depends on. */
  fingerprint: string;
}

/**
 * The CPU under emulation. A named model, because `max` changes with QEMU's version and switches 5-level page tables
 * on; this one is x86-64-v2, which TCG emulates in full. RDRAND spares the boot the wait for entropy.
 */
const TCG_CPU = 'Nehalem,+rdrand,+rdtscp';
const PROBE_LIMIT_MS = 15_000;
const PROBE_TEXT = 'pmsm: probe reached user space';
const OUTPUT_LIMIT = 256 * 1024;

export async function accelerator(
  emulator: Emulator,
  kernel: string,
  initramfs: string,
  progress: Progress,
): Promise<Accelerator> {
  const { argv, build: version } = emulator;
  const cpu = /^model name\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
  const host = digestOf({ version, cpu, release: release() });
  const kvm = await kvmWorks(host, () => probe(argv, kernel, initramfs), progress);
  return {
    name: kvm ? 'kvm' : 'tcg',
    arguments: kvm
      ? ['-accel', 'kvm', '-cpu', 'host,migratable=on']
      : ['-accel', 'tcg,thread=multi', '-cpu', TCG_CPU],
    fingerprint: digestOf({ version, cpu: kvm ? cpu : TCG_CPU, kvm }),
  };
}

async function kvmWorks(
  host: string,
  boot: () => Promise<boolean>,
  progress: Progress,
): Promise<boolean> {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return false;
  }
  const answer = resolve(cacheDirectory(), `kvm-${host}`);
  if (existsSync(answer)) return readFileSync(answer, 'utf8') === 'yes';
  const works = await progress.step('Probing KVM with a boot', boot);
  writeFileSync(answer, works ? 'yes' : 'no');
  progress.note(works ? 'KVM works here.' : 'KVM does not run a kernel here: software emulation.');
  return works;
}

function probe(argv: readonly string[], kernel: string, initramfs: string): Promise<boolean> {
  const [program, ...args] = tether([
    ...[...argv, '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-machine', 'q35', '-accel', 'kvm', '-cpu', 'host', '-m', '512', '-serial', 'stdio'],
    ...['-kernel', kernel, '-initrd', initramfs, '-append', 'console=ttyS0 panic=1 pmsm.probe'],
  ]);
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  const forget = onInterrupt(() => void child.kill('SIGKILL'));
  return new Promise((done) => {
    let output = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), PROBE_LIMIT_MS);
    child.stdout.setEncoding('latin1').on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_LIMIT);
      if (output.includes(PROBE_TEXT)) child.kill('SIGKILL');
    });
    child.once('error', () => undefined);
    child.once('close', () => {
      clearTimeout(timer);
      forget();
      done(output.includes(PROBE_TEXT));
    });
  });
}
