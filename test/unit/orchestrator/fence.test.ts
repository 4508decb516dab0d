import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t, { type Test } from 'tap';
import { run } from '../../../images/processes.ts';
import { parseConfig } from '../../../orchestrator/config.ts';
import { fence } from '../../../orchestrator/fence/fence.ts';

const machine = (command: string[], timeout_ms = 5000) => ({
  name: 'node2',
  address: '10.0.0.2',
  prefix: 24,
  agent_port: 7073,
  fence: { command, timeout_ms },
});

t.test('only exit code 0 in time confirms', async (t) => {
  t.match(await fence(machine(['true'])), { confirmed_off: true });
  t.match(await fence(machine(['sh', '-c', 'echo off by PDU; exit 0'])), {
    confirmed_off: true,
    detail: /off by PDU/,
  });
  t.match(await fence(machine(['sh', '-c', 'echo no answer >&2; exit 3'])), {
    confirmed_off: false,
    detail: /exit 3\. no answer/,
  });
  t.match(await fence(machine(['/nonexistent/fence'])), { confirmed_off: false });
  t.match(await fence(machine(['sh', '-c', 'kill -9 $$'])), { confirmed_off: false });
});

t.test('of several, the first that confirms is enough, and the others are not tried', async (t) => {
  const directory = t.testdir();
  const tried = resolve(directory, 'tried');
  const by = (script: string) => ({
    command: ['sh', '-c', `${script}`, 'sh', tried],
    timeout_ms: 5000,
  });
  const unreachable = by('echo bmc >>"$1"; echo the BMC is silent; exit 1');
  const strip = by('echo strip >>"$1"; exit 0');
  const last = by('echo last >>"$1"; exit 0');
  const { name, address, prefix, agent_port } = machine([]);
  const node = { name, address, prefix, agent_port };
  const result = await fence({ ...node, fence: [unreachable, strip, last] });
  t.match(result, { confirmed_off: true, detail: /confirmed off.*the BMC is silent/ });
  t.equal(readFileSync(tried, 'utf8'), 'bmc\nstrip\n');
  const none = await fence({ ...node, fence: [unreachable, unreachable] });
  t.match(none, { confirmed_off: false, detail: /silent; .*silent/ });
});

t.test('a command that hangs is ended', async (t) => {
  const result = await fence(machine(['sleep', '60'], 200));
  t.match(result, { confirmed_off: false, detail: /no answer in 200 ms/ });
});

t.test('so is what it has started', async (t) => {
  const begin_ms = performance.now();
  const result = await fence(machine(['sh', '-c', 'sleep 47; true'], 300));
  t.match(result, { confirmed_off: false, detail: /no answer in 300 ms/ });
  t.ok(performance.now() - begin_ms < 2000, 'nobody waits for it');
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.notMatch(await run(['ps', '-eo', 'args']), /^sleep 47$/m, 'and it does nothing later');
});

t.test('without a command nothing is confirmed', async (t) => {
  const { fence: _fence, ...unfenced } = machine(['true']);
  t.match(await fence(unfenced), { confirmed_off: false, detail: /no fence is configured/ });
});

/** A fence agent that is a shell script; it finds its action in $action. */
function agent(t: Test, body: string, timeout_ms = 5000) {
  const directory = t.testdir();
  const script = `#!/bin/sh
while IFS= read -r line; do
  echo "$line" >>'${directory}/heard'
  case $line in action=*) action=\${line#action=};; esac
done
${body}
`;
  writeFileSync(resolve(directory, 'fence_test'), script);
  chmodSync(resolve(directory, 'fence_test'), 0o755);
  const path = process.env.PATH;
  process.env.PATH = `${directory}:${path}`;
  t.teardown(() => {
    process.env.PATH = path;
  });
  const options = { ip: '10.0.0.9', username: 'admin', password: 'very secret' };
  const machine = {
    name: 'node2',
    address: '10.0.0.2',
    prefix: 24,
    agent_port: 7073,
    fence: { agent: 'fence_test', options, timeout_ms },
  };
  const heard = (): string => {
    const file = resolve(directory, 'heard');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  };
  return { machine, heard };
}

t.test('an agent that switches off, and says so when it is asked again', async (t) => {
  const { machine, heard } = agent(
    t,
    '[ $action = off ] && echo Success && exit 0; echo Status: OFF; exit 2',
  );
  t.match(await fence(machine), { confirmed_off: true, detail: /confirmed off.*Success/ });
  t.equal(
    heard(),
    ['off', 'status']
      .map((action) => `ip=10.0.0.9\nusername=admin\npassword=very secret\naction=${action}\n`)
      .join(''),
    'options and action on stdin, nothing else',
  );
});

t.test('an agent that is not believed', async (t) => {
  const cases: Array<[string, string, RegExp, number?]> = [
    ['it fails', 'echo "no: very secret"; exit 1', /exit 1\. no: \*\*\*/],
    ['still on', 'exit 0', /still on/],
    ['status cannot be had', '[ $action = off ] && exit 0; exit 1', /still on/],
    ['wrong options', '[ $action = off ] && exit 0; echo usage; exit 2', /still on/],
    ['it hangs', 'exec sleep 60', /no answer in 300 ms/, 300],
    [
      'it hangs when it is asked again',
      '[ $action = off ] && exit 0; exec sleep 60',
      /still on/,
      500,
    ],
  ];
  for (const [name, body, detail, timeout_ms] of cases) {
    await t.test(name, async (t) => {
      const { machine } = agent(t, body, timeout_ms);
      t.match(await fence(machine), { confirmed_off: false, detail });
    });
  }
});

t.test('an agent that is not installed', async (t) => {
  const { machine } = agent(t, 'exit 0');
  const missing = { ...machine, fence: { ...machine.fence, agent: 'fence_none' } };
  t.match(await fence(missing), { confirmed_off: false, detail: /fence_none: exit -/ });
});

t.test('what a configuration may ask for', async (t) => {
  const config = (one: object) =>
    parseConfig(
      { machines: [{ name: 'a', address: '10.0.0.1', fence: one }], state_dir: '/x' },
      'test',
    );
  t.match(config({ agent: 'fence_ipmilan' }).machines[0]?.fence, {
    options: {},
    timeout_ms: 30_000,
  });
  for (const bad of [
    { agent: '/bin/sh' },
    { agent: 'fence_x;y' },
    { agent: 'fence_ipmilan', options: { action: 'on' } },
    { agent: 'fence_ipmilan', options: { ip: 'a\naction=on' } },
    { agent: 'fence_ipmilan', command: ['true'] },
    {},
  ]) {
    t.throws(() => config(bad), { code: 'bad-request' }, JSON.stringify(bad));
  }
});
