/** Which QEMU a lab's machines run in. */
import type { LabOptions } from '../options.ts';
import { run } from '../processes.ts';
import type { Progress } from '../progress.ts';
import { commandBeside, fileBeside, packageBeside } from '../setup/beside.ts';

const PROGRAM = 'qemu-system-x86_64';

export interface Emulator {
  /** The program; a machine's own arguments follow. */
  readonly argv: readonly string[];
  /** Such as "10.0.13". */
  readonly version: string;
  /** What the program says of itself: of which build it is, too. */
  readonly build: string;
}

export async function emulator(
  kind: LabOptions['emulator'],
  progress: Progress,
): Promise<Emulator> {
  const argv = kind === 'stable' ? await stable(progress) : [PROGRAM];
  const build = (await run([...argv, '--version'])).split('\n')[0] ?? '';
  return { argv, version: versionIn(build), build };
}

export function versionIn(build: string): string {
  return /version (\d+\.\d+(?:\.\d+)?)/.exec(build)?.[1] ?? 'unknown';
}

async function stable(progress: Progress): Promise<string[]> {
  const artefact = await packageBeside('qemu-system-x86', progress);
  const data = ['qemu', 'seabios'].flatMap((name) => [
    '-L',
    fileBeside(artefact, `usr/share/${name}`),
  ]);
  return [...commandBeside(artefact, PROGRAM), ...data];
}

/**
 * QEMU before 9.0 loses what an emulated processor writes while the machine is migrated: having read which pages
 * are dirty it did not make the processor's TLB report the next write to them ("physmem: Fix migration dirty bitmap
 * coherency with TCG memory access", March 2024). Guests crash of it, and the last round looks shorter than it is.
 */
export const migratesSoundly = ({ version }: Pick<Emulator, 'version'>): boolean =>
  Number.parseInt(version, 10) >= 9;
