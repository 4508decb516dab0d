/** One QEMU for all engines of a bench, and one that can do what all of them need. */
import { PmsmError } from '../../../agent/wire/errors.ts';
import type { LabOptions } from '../../options.ts';
import type { Progress } from '../../progress.ts';
import { ensurePackages } from '../../setup/packages.ts';
import { type Emulator, emulator, migratesSoundly } from '../emulator.ts';
import type { BenchOptions } from './options.ts';

export interface Chosen {
  readonly kind: LabOptions['emulator'];
  readonly emulator: Emulator;
}

export async function chooseEmulator(bench: BenchOptions, progress: Progress): Promise<Chosen> {
  await ensurePackages(['lab'], progress);
  const installed = await emulator('installed', progress);
  const kind = decide(bench, installed, progress);
  return { kind, emulator: kind === 'installed' ? installed : await emulator(kind, progress) };
}

export function decide(
  bench: Pick<BenchOptions, 'engines' | 'emulator'>,
  installed: Pick<Emulator, 'version'>,
  progress: Pick<Progress, 'note'>,
): LabOptions['emulator'] {
  const unsound = bench.engines.includes('hypervisor') && !migratesSoundly(installed);
  const why = `QEMU ${installed.version} loses memory when it migrates an emulated machine`;
  if (unsound && bench.emulator === 'installed') {
    throw new PmsmError('bad-request', `${why}: without --qemu, or without the engine hypervisor`);
  }
  if (unsound && bench.emulator === null) {
    progress.note(`${why}: all engines get the one of Debian's stable release.`);
  }
  return bench.emulator ?? (unsound ? 'stable' : 'installed');
}
