import t from 'tap';
import { Switch, setUpCommands, tapName } from '../../../images/lab/switch.ts';
import { isAlive, run } from '../../../images/processes.ts';

t.test('a switch can be seen inside only, and is gone with its holder', async (t) => {
  const network = await Switch.start(['node1', 'node2'], false);
  t.teardown(() => network.stop());
  const links = await run(network.inside(['ip', '-brief', 'link']));
  for (const name of ['br0', 'br1', 'node1-s', 'node1-m', 'node2-s', 'node2-m']) {
    t.match(links, new RegExp(`^${name}\\b`, 'm'));
  }
  const addresses = await run(network.inside(['ip', '-brief', 'address']));
  for (const address of ['10.0.0.254/24', '10.0.1.254/24', 'fd00::fe/64']) {
    t.match(addresses, address);
  }
  t.notMatch(await run(['ip', '-brief', 'link']), 'node1-s', 'nothing of it is outside');
  const bridge = await run(network.inside(['ip', '-details', 'link', 'show', 'br0']));
  t.match(bridge, /forward_delay 0\b/, 'a port forwards at once');
  t.match(bridge, /stp_state 0\b/);
  t.ok(isAlive(network.holder));
  await network.stop();
  t.notOk(isAlive(network.holder));
});

t.test('with one NIC a machine, both networks are one', async (t) => {
  const commands = setUpCommands(['node1'], true).join('\n');
  t.notMatch(commands, 'br1');
  t.notMatch(commands, tapName('node1', 'migration'));
  t.match(commands, '10.0.1.254/24 dev br0');
});

t.test('the name of a tap fits into the kernel', async (t) => {
  t.ok(tapName('a-machine-with-a-long-name', 'service').length <= 15);
});
