/** What a move is made with, for its report. */
import type { LabOptions } from '../../options.ts';
import type { DemoOptions } from './options.ts';
import type { Environment } from './report/schema.ts';
import type { Stage } from './stage.ts';

function describeKernels({ kernel, standby_kernel, standby_memory_mib }: LabOptions): string {
  const own = standby_memory_mib ? `in ${standby_memory_mib} MiB` : undefined;
  const standby = [standby_kernel, own].filter(Boolean).join(' ');
  return standby ? `${kernel}, standby: ${standby}` : kernel;
}

export async function describeEnvironment(
  stage: Stage,
  options: Pick<DemoOptions, 'lab' | 'load'>,
): Promise<Environment> {
  const { lab, load } = options;
  const kernel = (await stage.onHost('uname -r')).trim();
  const server = { mysql: 'mysqld', mariadb: 'mariadbd' }[lab.database];
  const said = await stage.onHost(`${server} --version`);
  const version = /Ver (\S+)/.exec(said)?.[1] ?? 'unknown';
  return {
    accelerator: stage.accelerator,
    emulator: stage.lab.emulator,
    cpus: lab.cpus,
    memory_mib: lab.memory_mib,
    nic: lab.single_nic ? `${lab.nic}, single` : lab.nic,
    disk: lab.disk,
    kernel: `${kernel} (${describeKernels(lab)})`,
    database: `${lab.database} ${version}`,
    load,
    fill_percent: 0,
    change_mib_per_s: 0,
    run: new Date().toISOString(),
  };
}
