import t from 'tap';
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

t.test('a command that hangs is ended', async (t) => {
  const result = await fence(machine(['sleep', '60'], 200));
  t.match(result, { confirmed_off: false, detail: /no answer in 200 ms/ });
});

t.test('without a command nothing is confirmed', async (t) => {
  const { fence: _fence, ...unfenced } = machine(['true']);
  t.match(await fence(unfenced), { confirmed_off: false, detail: /no fence is configured/ });
});
