/** What the demo needs of a lab: its two machines, a place for the client, and what it leaves behind. */
import { cpSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { Client } from '../../../orchestrator/cli/client.ts';
import type { Progress } from '../../progress.ts';
import { ROOT_OFFSET_BYTES } from '../../rootfs.ts';
import { ensurePackages } from '../../setup/packages.ts';
import { ballastExtras } from '../guest/ballast.ts';
import { churnExtras } from '../guest/churn.ts';
import { witnessExtras } from '../guest/witness.ts';
import { Lab, MACHINES, type MachineName } from '../lab.ts';
import type { InNetwork } from './client/client.ts';
import type { DemoOptions } from './options.ts';
import type { FilePlace, OnHost } from './verify.ts';

export type { MachineName } from '../lab.ts';

/** Records and consoles are small; a file beyond this is not evidence but a mistake. */
const KEPT_FILE_BYTES_MAX = 64 * 1024 * 1024;

export interface Stage {
  /** For what works on the machines themselves. */
  readonly lab: Lab;
  readonly machines: readonly [MachineName, MachineName];
  readonly runDir: string;
  readonly disk: FilePlace;
  readonly fsckLog: string;
  readonly accelerator: string;
  readonly orchestrator: Client;
  readonly inNetwork: InNetwork;
  readonly onHost: OnHost;
  /** What the machines have said on their serial consoles. */
  readonly consoles: () => string[];
  /** The vacated machine boots as the next standby. */
  readonly recycle: (machine: MachineName) => Promise<void>;
  readonly waitForPowerOff: (machine: MachineName, limit_ms: number) => Promise<void>;
  /** Ends everything; consoles and records stay in a folder if one is named. */
  readonly close: (keepIn: string | null) => Promise<void>;
}

export async function openStage(
  options: Pick<DemoOptions, 'lab'>,
  progress: Progress,
): Promise<Stage> {
  await ensurePackages(['lab', 'kernel', 'native'], progress);
  const parts = [
    await witnessExtras(progress),
    await churnExtras(progress),
    await ballastExtras(progress),
  ];
  const extras = {
    files: parts.flatMap(({ files }) => files),
    units: parts.flatMap(({ units }) => units),
  };
  const lab = await Lab.start({ ...options.lab, extras }, progress);
  return {
    lab,
    machines: MACHINES,
    runDir: lab.runDir,
    disk: { file: lab.diskPath, offset_bytes: ROOT_OFFSET_BYTES },
    fsckLog: resolve(lab.runDir, 'e2fsck.log'),
    accelerator: lab.accelerator,
    orchestrator: new Client({ socketPath: lab.orchestratorSocket }),
    inNetwork: (argv) => lab.inside(argv),
    onHost: (command) => lab.ssh(command),
    consoles: () => MACHINES.map((name) => lab.machines[name].consoleText()),
    recycle: (machine) => lab.recycle(lab.machines[machine]),
    waitForPowerOff: (machine, limit_ms) => lab.machines[machine].waitForPowerOff(limit_ms),
    close: async (keepIn) => {
      if (keepIn !== null) keepLogs(lab.runDir, keepIn);
      await lab.stop();
    },
  };
}

/** The run directory goes with the lab; sockets and what is too large stay out of the copy. */
export function keepLogs(runDir: string, folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  cpSync(runDir, folder, {
    recursive: true,
    filter: (source) => {
      const status = statSync(source);
      return status.isDirectory() || (status.isFile() && status.size <= KEPT_FILE_BYTES_MAX);
    },
  });
}
