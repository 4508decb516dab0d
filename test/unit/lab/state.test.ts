import { resolve } from 'node:path';
import t from 'tap';
import { parseOptions } from '../../../images/lab/lab.ts';
import { isSavable } from '../../../images/lab/saved.ts';
import { sshCommand } from '../../../images/lab/shell.ts';
import {
  type LabState,
  makeRunDirectory,
  readState,
  requireState,
  runDirectory,
  writeState,
} from '../../../images/lab/state.ts';
import { identify } from '../../../images/processes.ts';

const me = identify(process.pid) as { pid: number; started: string };

function state(name: string, keeper = me): LabState {
  return {
    version: 1,
    name,
    phase: 'ready',
    error: null,
    keeper,
    network: null,
    options: parseOptions({}),
    accelerator: 'tcg',
    keys: '/keys',
    orchestrator: null,
    machines: {},
  };
}

t.beforeEach((t) => {
  process.env.XDG_RUNTIME_DIR = t.testdir({});
});

t.test('a lab that runs is found and refuses another of its name', async (t) => {
  makeRunDirectory('one');
  t.throws(() => requireState('one'), { code: 'lab-not-running', exitCode: 2 });
  writeState(state('one'));
  t.equal(requireState('one').phase, 'ready');
  t.throws(() => makeRunDirectory('one'), { code: 'bad-request', exitCode: 2 });
});

t.test('a lab whose keeper has ended does not count, nor does one with a reused pid', async (t) => {
  makeRunDirectory('two');
  writeState(state('two', { ...me, started: '1' }));
  t.equal(readState('two'), undefined);
  t.doesNotThrow(() => makeRunDirectory('two'));
});

t.test('names stay within the run directory and a socket path', async (t) => {
  for (const name of ['', '../x', 'A', 'a/b', 'x'.repeat(33)]) {
    t.throws(() => runDirectory(name), { code: 'bad-request' });
  }
  delete process.env.XDG_RUNTIME_DIR;
  t.ok(resolve(runDirectory('x'.repeat(32)), 'orchestrator.sock').length < 108);
});

t.test('options are checked before anything is built', async (t) => {
  t.equal(parseOptions({}).memory_mib, 2048);
  t.throws(() => parseOptions({ memory_mib: 16 }), { code: 'bad-request' });
  t.throws(() => parseOptions({ packages: ['a b'] }), /packages/);
  t.throws(() => parseOptions({ disk: 'floppy' }), { code: 'bad-request' });
  t.throws(() => parseOptions({ memroy: 1 }), { code: 'bad-request' });
  t.throws(() => parseOptions({ standby_kernel: 'newest' }), { code: 'bad-request' });
});

t.test('a pair is saved only if QEMU can save it and others want the same', async (t) => {
  t.ok(isSavable(parseOptions({})));
  t.notOk(isSavable(parseOptions({ disk: 'nvme' })));
  t.notOk(isSavable(parseOptions({ standby_kernel: 'hardened' })));
});

t.test("ssh uses the lab's keys and nothing of the user's", async (t) => {
  const command = sshCommand('/keys', '10.0.0.1').join(' ');
  t.match(command, '-F none');
  t.match(command, 'IdentityFile=/keys/');
  t.match(command, 'StrictHostKeyChecking=yes');
  t.match(command, /root@10\.0\.0\.1$/);
});
