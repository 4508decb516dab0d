/** The agent's REST interface, with a script for a helper. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import t, { type Test } from 'tap';
import { makeApp } from '../../../agent/source/api/app.ts';
import {
  makeConfig,
  settingsFromCommandLine,
  settingsFromFile,
} from '../../../agent/source/config.ts';
import { Helper } from '../../../agent/source/helper.ts';
import { Machine } from '../../../agent/source/machine.ts';
import { readMounts } from '../../../agent/source/mounts.ts';
import { FACTS, type HostFiles, makeHost } from './host.ts';

const log = pino({ level: 'silent' });
const NODE1 = {
  name: 'node1',
  address: '10.0.1.1',
  prefix: 24,
  interface: 'eth1',
  single_nic: false,
};
const ID = '0123456789abcdef0123456789abcdef';
const START = {
  attempt_id: ID,
  generation: 7,
  target: { name: 'node2', address: '10.0.1.2', prefix: 24, mac: '52:54:00:00:01:02', port: 7072 },
  orchestrator: { address: '10.0.1.254', port: 7071 },
};

interface Started {
  app: FastifyInstance;
  helper: Helper;
  machine: Machine;
  directory: string;
}

async function start(t: Test, host: HostFiles = {}, record?: string): Promise<Started> {
  const directory = t.testdir();
  const surroundings = makeHost(directory, host);
  const machine = new Machine(join(directory, 'run', 'machine.json'), NODE1);
  const helper = new Helper(surroundings.helper, machine, log, record);
  const app = await makeApp({ surroundings, machine, helper, log });
  t.teardown(() => app.close());
  return { app, helper, machine, directory };
}

const callsIn = (directory: string): string => readFileSync(join(directory, 'calls'), 'utf8');

function post(app: FastifyInstance, payload: object) {
  return app.inject({ method: 'POST', url: '/v1/attempts', payload });
}

t.test('inventory', async (t) => {
  const { app } = await start(t);
  const answer = await app.inject('/v1/inventory');
  t.equal(answer.statusCode, 200);
  t.match(answer.json(), { machine: NODE1, uptime_s: 123.45, facts: { version: 1 } });
  t.match(answer.json().facts, { kernel: FACTS.kernel, cpu: FACTS.cpu });
  t.match(answer.json().mounts[0], {
    source: '/dev/sda1',
    target: '/',
    type: 'ext4',
    writable: true,
    freezable: true,
  });
  t.match((await app.inject('/healthz')).json(), { ok: true, machine: 'node1' });
  const checks = await app.inject({ method: 'POST', url: '/v1/preflight', payload: {} });
  t.equal(checks.json().findings.length, 12);
});

t.test('mounts', async (t) => {
  const mounts = await readMounts(makeHost(t.testdir()));
  t.match(
    mounts.map(({ target, writable, freezable }) => [target, writable, freezable]),
    [
      ['/', true, true],
      ['/proc', true, false],
      ['/run', true, false],
      ['/srv/nested', true, true],
      ['/boot/with space', false, false],
    ],
  );
});

/** What a helper does when it learns that it owns the new body. */
const TAKES_IT = `for f; do case $f in */machine.json) mv "$f.${ID}" "$f";; esac; done`;

t.test('an attempt that moves the machine', async (t) => {
  const says = `echo '{"phase":"prepare","edge":"begin"}'; echo noise; echo '{"result":"moved","code":null}'`;
  const run = `${TAKES_IT}; ${says}`;
  const { app, helper, machine, directory } = await start(t, { run });
  const started = await post(app, {
    ...START,
    options: { codec: 'lz4', threads: 2, keep_cache: true },
  });
  t.equal(started.statusCode, 202);
  t.equal(started.headers.location, `/v1/attempts/${ID}`);
  t.match(started.json(), { state: 'running' });
  await helper.settled();
  t.equal(
    callsIn(directory).trim(),
    `run --attempt ${ID} --generation 7 --interface eth1 --address 10.0.1.1/24` +
      ' --orchestrator 10.0.1.254:7071 --target 10.0.1.2:7072 --target-address 10.0.1.2/24' +
      ` --target-mac 52:54:00:00:01:02 --identity ${machine.path}` +
      ' --engine full --codec lz4 --stall-ms 2000 --threads 2 --keep-cache',
  );
  const ended = await app.inject(`/v1/attempts/${ID}`);
  t.match(ended.json(), {
    state: 'moved',
    code: null,
    lines: [{ phase: 'prepare' }, { result: 'moved' }],
  });
  t.match(machine.identity, { name: 'node2', address: '10.0.1.2', interface: 'eth1' });
  const again = new Machine(join(directory, 'run', 'machine.json'), NODE1);
  t.equal(again.identity.name, 'node2', 'a new agent does not believe the command line');
});

t.test('how else a helper ends', async (t) => {
  const cases: Array<[name: string, run: string, expected: object, recovers: boolean]> = [
    [
      'rolled back',
      `echo '{"result":"rolled-back","code":"stalled","detail":"nothing moved"}'; exit 4`,
      { state: 'rolled-back', code: 'stalled', detail: 'nothing moved' },
      false,
    ],
    [
      'failed before anything changed',
      `echo '{"result":"failed","code":"target-lost","detail":"x"}'; exit 1`,
      { state: 'failed', code: 'target-lost' },
      false,
    ],
    ['wrong usage', 'exit 2', { state: 'failed', code: 'internal' }, false],
    ['held', 'exit 5', { state: 'held', code: 'commit-unanswered' }, false],
    ['killed', 'kill -9 $$', { state: 'failed', code: 'source-lost' }, true],
    [
      'killed, and its deputy went on',
      `(sleep 0.2; echo '{"result":"rolled-back","code":"not-jumped","detail":"an order"}') & kill -9 $$`,
      { state: 'rolled-back', code: 'not-jumped', detail: 'an order' },
      false,
    ],
    ['an unknown exit code', 'exit 77', { state: 'failed' }, true],
    [
      'an unknown error code',
      `echo '{"result":"failed","code":"x"}'; exit 1`,
      { code: 'internal' },
      false,
    ],
  ];
  for (const [name, run, expected, recovers] of cases) {
    t.test(name, async (t) => {
      const { app, helper, machine, directory } = await start(t, { run });
      await post(app, START);
      await helper.settled();
      t.match((await app.inject(`/v1/attempts/${ID}`)).json(), expected);
      t.equal(machine.identity.name, 'node1');
      t.equal(callsIn(directory).includes('recover'), recovers);
    });
  }
});

t.test('an attempt that is refused leaves what another is to be alone', async (t) => {
  const machine = new Machine(join(t.testdir(), 'machine.json'), NODE1);
  machine.prepareMove('one', 'node2', '10.0.1.2', 24);
  machine.prepareMove('other', 'node3', '10.0.1.3', 24);
  machine.forgetMove('other');
  renameSync(`${machine.path}.one`, machine.path);
  t.match(machine.identity, { name: 'node2', address: '10.0.1.2' });
});

t.test('a helper that is killed when it owns the new body', async (t) => {
  const run = `${TAKES_IT}; kill -9 $$`;
  const { app, helper, machine, directory } = await start(t, { run }, 'PARTLABEL=own');
  await post(app, START);
  await helper.settled();
  t.match((await app.inject(`/v1/attempts/${ID}`)).json(), { state: 'moved', code: null });
  t.match(machine.identity, { name: 'node2', address: '10.0.1.2', interface: 'eth1' });
  t.match(callsIn(directory), /recover\nowner --record PARTLABEL=own --settle node2\n$/);
});

t.test('a disk that says who owns it', async (t) => {
  const { app, helper, directory } = await start(t, { run: 'kill -9 $$' }, 'PARTLABEL=own');
  await helper.recover();
  t.equal(callsIn(directory), 'recover\nowner --record PARTLABEL=own --settle node1\n');
  await post(app, START);
  await helper.settled();
  t.match(callsIn(directory), /--record PARTLABEL=own --machine node1 --target-machine node2 /);
  const calls = callsIn(directory).trim().split('\n');
  t.equal(calls.filter((call) => call.startsWith('owner')).length, 2, 'settled again');
});

t.test('one attempt at a time, each id once', async (t) => {
  const { app, helper, directory } = await start(t, {
    run: 'while [ ! -e go ]; do sleep 0.05; done; exit 4',
  });
  await post(app, START);
  const second = await post(app, { ...START, attempt_id: 'f'.repeat(32) });
  t.equal(second.statusCode, 409);
  t.match(second.json(), { code: 'conflict' });
  t.notOk(existsSync(join(directory, 'go')));
  writeFileSync(join(directory, 'go'), '');
  await helper.settled();
  t.equal((await post(app, START)).statusCode, 409, 'a late repetition starts nothing');
});

t.test('a helper that talks too much is kept within limits', async (t) => {
  const run = `i=0; while [ $i -lt 3000 ]; do echo '{"phase":"send"}'; i=$((i+1)); done; exit 4`;
  const { app, helper } = await start(t, { run });
  await post(app, START);
  await helper.settled();
  const { state, lines } = (await app.inject(`/v1/attempts/${ID}`)).json();
  t.equal(state, 'rolled-back');
  t.equal(lines.length, 1000);
});

t.test('a helper that cannot be run', async (t) => {
  const directory = t.testdir();
  const machine = new Machine(join(directory, 'machine.json'), NODE1);
  const helper = new Helper('/nonexistent/pmsm-freeze', machine, log);
  helper.start({
    ...START,
    options: { engine: 'full', codec: 'auto', stall_ms: 2000, keep_cache: false, check: false },
  });
  await helper.settled();
  t.match(helper.attempt(ID), { state: 'failed', detail: /ENOENT/ });
});

t.test('requests that are not valid', async (t) => {
  const { app, directory } = await start(t);
  const cases: object[] = [
    {},
    { ...START, attempt_id: 'x' },
    { ...START, generation: 0 },
    { ...START, target: { ...START.target, mac: 'x; reboot' } },
    { ...START, target: { ...START.target, address: '--help' } },
    { ...START, options: { codec: 'x' } },
    { ...START, options: { stall_ms: 1 } },
    { ...START, more: 1 },
  ];
  for (const payload of cases) {
    const answer = await post(app, payload);
    t.equal(answer.statusCode, 400, JSON.stringify(payload).slice(0, 60));
    t.match(answer.json(), { code: 'bad-request', remedy: String });
  }
  t.notOk(existsSync(join(directory, 'calls')), 'the helper was not started');
  t.equal((await app.inject(`/v1/attempts/${ID}`)).statusCode, 404);
  t.equal((await app.inject('/v1/nothing')).statusCode, 404);
  t.equal((await app.inject({ method: 'POST', url: '/v1/inventory' })).statusCode, 405);
});

t.test('settings', async (t) => {
  const cmdline =
    'quiet pmsm.machine=node1 pmsm.address=10.0.1.1/24 pmsm.interface=eth0 pmsm.single-nic pmsm.orchestrator=1.2.3.4:1';
  const fromKernel = settingsFromCommandLine(cmdline);
  t.match(makeConfig(fromKernel), {
    machine: {
      name: 'node1',
      address: '10.0.1.1',
      prefix: 24,
      interface: 'eth0',
      single_nic: true,
    },
    listen: { host: '0.0.0.0', port: 7073 },
  });
  const fromFile = settingsFromFile('{"machine":"other","listen":"127.0.0.1:1"}', 'f');
  t.match(makeConfig(fromKernel, fromFile, { interface: 'eth9' }), {
    machine: { name: 'other', interface: 'eth9' },
    listen: { host: '127.0.0.1', port: 1 },
  });
  const wrong = [
    () => makeConfig(settingsFromCommandLine('quiet')),
    () => makeConfig(fromKernel, { address: '10.0.1.1' }),
    () => makeConfig(fromKernel, { address: '10.0.1.1/33' }),
    () => makeConfig(fromKernel, { listen: 'x' }),
    () => settingsFromFile('{', 'f'),
    () => settingsFromFile('{"unknown":1}', 'f'),
  ];
  for (const make of wrong) t.throws(make, { code: 'bad-request' });
});
