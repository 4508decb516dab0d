/** Puts onto the host's disk what fills memory and changes it at a steady rate, for the bench. */
import type { DiskExtras } from '../../disk.ts';
import type { Progress } from '../../progress.ts';
import { guestProgram } from './program.ts';

const PROGRAM = '/opt/pmsm/ballast';
const UNIT = 'pmsm-ballast.service';

/** As much is written anew in turn; less if less is held. */
export const CHANGING_MIB = 128;

/** An emulated machine fills or checks some 100 MiB a second. */
const LIMIT_S = 600;

export interface Ballast {
  readonly held_mib: number;
  readonly change_mib_per_s: number;
}

type OnHost = (command: string) => Promise<string>;

export async function ballastExtras(progress: Progress): Promise<DiskExtras> {
  const source = await guestProgram('ballast', progress);
  return { files: [{ path: PROGRAM, source, mode: 0o755 }], units: [] };
}

/** Returns when the memory is filled. */
export async function startBallast(onHost: OnHost, ballast: Ballast): Promise<void> {
  const { held_mib, change_mib_per_s } = ballast;
  const changing_mib = Math.min(held_mib, change_mib_per_s > 0 ? CHANGING_MIB : 0);
  const properties = [
    'Type=forking',
    'Nice=5',
    `TimeoutStartSec=${LIMIT_S}`,
    `TimeoutStopSec=${LIMIT_S}`,
  ].map((property) => `-p ${property}`);
  await onHost(
    `systemd-run --quiet ${properties.join(' ')} --unit ${UNIT} ` +
      `${PROGRAM} ${held_mib} ${changing_mib} ${change_mib_per_s}`,
  );
}

/** Ends it. It looks at every page first: '' if each holds what it must, or what is wrong. */
export async function endBallast(onHost: OnHost): Promise<string> {
  const said = await onHost(
    `systemctl is-active ${UNIT}; systemctl stop ${UNIT}; ` +
      `systemctl show -p Result --value ${UNIT}; journalctl -q -o cat -u ${UNIT} -n 3`,
  );
  const [active, result, ...lines] = said.trim().split('\n');
  if (active === 'active' && result === 'success') return '';
  return `ballast: ${active}, ${result}: ${lines.join('; ')}`.slice(0, 1000);
}
