/** The shell functions that real hosts and the lab share, run by the shell of both initramfs. */
import { chmodSync } from 'node:fs';
import t from 'tap';
import { inTree } from '../../../images/paths.ts';
import { run } from '../../../images/processes.ts';

const WORDS =
  'console=ttyS0 pmsm.machine=node2 pmsm.address=10.0.1.2/24 pmsm.standby root=LABEL=a=b xpmsm.single-nic';

/** Runs a script after the functions, with a kernel command line of our own. */
function shell(script: string, path = ''): Promise<string> {
  const prepared = `. ${inTree('agent/target/standby.sh')}\ncat() { echo '${WORDS}'; }\n${script}`;
  const env = { ...process.env, PATH: `${path}:${process.env.PATH}` };
  return run(['busybox', 'sh', '-euc', prepared], { env });
}

t.test('values of the kernel command line', async (t) => {
  t.equal(await shell('pmsm_value pmsm.machine'), 'node2\n');
  t.equal(await shell('pmsm_value root'), 'LABEL=a=b\n');
  t.equal(await shell('pmsm_value machine'), '');
  t.equal(await shell('pmsm_value pmsm.standby'), '');
});

t.test('flags of the kernel command line', async (t) => {
  t.equal(await shell('pmsm_has pmsm.standby && echo yes'), 'yes\n');
  t.equal(await shell('pmsm_has pmsm.machine && echo yes'), 'yes\n');
  t.equal(await shell('pmsm_has pmsm.single-nic || echo no'), 'no\n');
});

t.test('pmsm-restore is started again whatever ends it', async (t) => {
  const path = t.testdir({ 'pmsm-restore': '#!/bin/sh\necho "restore $*"\nexit 7\n' });
  chmodSync(`${path}/pmsm-restore`, 0o755);
  const said = await shell(
    `
    pmsm_network() { :; }
    sleep() { count=$((count + 1)); [ $count -lt 3 ] || exit 0; }
    count=0
    set +e
    pmsm_standby
  `,
    path,
  );
  t.equal(said.split('restore standby').length - 1, 3);
  t.match(said, 'ended with 7');
});

t.test('an interface that never comes is not waited for for ever', async (t) => {
  const said = await shell('sleep() { :; }\npmsm_wait_interface absent0 || echo given up');
  t.match(said, 'no network interface absent0');
  t.match(said, 'given up');
});
