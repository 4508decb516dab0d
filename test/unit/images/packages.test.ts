import t from 'tap';
import { silentProgress } from '../../../images/progress.ts';
import {
  describeMissing,
  ensurePackages,
  neededPackages,
  PACKAGES,
  requireMemory,
  requireSpace,
  requireTun,
} from '../../../images/setup/packages.ts';

t.test('what is missing is said once, with the command that installs it', async (t) => {
  const missing = neededPackages(['kernel'], true);
  const text = describeMissing(missing);
  for (const { name, why } of missing) t.match(text, new RegExp(`${name} +${why.slice(0, 8)}`));
  const [command, ...others] = text.split('\n').filter((line) => line.includes('apt-get install'));
  t.same(others, []);
  for (const { name } of missing) t.match(command, ` ${name}`);
});

t.test('a part needs its own packages only', async (t) => {
  const names = (parts: Parameters<typeof neededPackages>[0], root = true): string[] =>
    neededPackages(parts, root).map(({ name }) => name);
  t.ok(names(['lab']).includes('qemu-system-x86'));
  t.notOk(names(['native']).includes('qemu-system-x86'));
  t.ok(names(['lab'], false).includes('uidmap'), 'without root, user ids have to be mapped');
  t.notOk(names(['lab']).includes('uidmap'));
  t.equal(new Set(PACKAGES.map(({ name }) => name)).size, PACKAGES.length, 'no name twice');
});

t.test('what is installed is not installed again', async (t) => {
  // The tests need these parts themselves, so nothing may be missing.
  const started_ms = performance.now();
  await ensurePackages(['native'], silentProgress);
  t.ok(performance.now() - started_ms < 10_000);
});

t.test('no tun device', async (t) => {
  t.throws(() => requireTun('/dev/net/absent'), { code: 'no-tun', exitCode: 2 });
});

t.test('no space', async (t) => {
  const directory = t.testdir({});
  t.throws(() => requireSpace(directory, 2 ** 60), { code: 'no-space', exitCode: 2 });
  t.doesNotThrow(() => requireSpace(directory, 1));
});

t.test('no memory', async (t) => {
  const directory = t.testdir({ meminfo: 'MemTotal: 8000000 kB\nMemAvailable:    4194304 kB\n' });
  t.doesNotThrow(() => requireMemory(1024, `${directory}/meminfo`));
  t.throws(() => requireMemory(2048, `${directory}/meminfo`), { code: 'missing-prerequisites' });
  t.throws(() => requireMemory(2048, `${directory}/meminfo`), /4096 MiB are available/);
});
