import t from 'tap';
import { chooseMirrors, parseIndexTargets, sourceLines } from '../../../images/setup/apt.ts';

const TEXT = `http://other.example/|nodistro|main|Packages
http://mirror.example/debian/|bookworm|main|Packages
http://mirror.example/debian/|bookworm|main|Translations
http://mirror.example/debian/|bookworm-updates|main|Packages
http://mirror.example/debian-security/|bookworm-security|main|Packages
`;

t.test("mirrors come from the host's own apt", async (t) => {
  const mirrors = chooseMirrors(parseIndexTargets(TEXT), 'bookworm');
  t.equal(mirrors.main, 'http://mirror.example/debian/');
  t.equal(mirrors.security, 'http://mirror.example/debian-security/');
});

t.test(
  'a host without security updates still has a mirror; one without Debian has none',
  async (t) => {
    const targets = parseIndexTargets(TEXT);
    const plain = targets.filter(({ release }) => !release.includes('security'));
    t.equal(chooseMirrors(plain, 'bookworm').security, undefined);
    t.throws(() => chooseMirrors(targets, 'trixie'), { code: 'missing-prerequisites' });
    t.throws(() => chooseMirrors(parseIndexTargets(''), 'bookworm'), {
      code: 'missing-prerequisites',
    });
  },
);

t.test('only sid may be out of date', async (t) => {
  const mirrors = { codename: 'bookworm', main: 'http://m/debian/', security: 'http://m/sec/' };
  const [sid, stable, security] = sourceLines(
    mirrors,
    ['sid', 'trixie', 'trixie-security'],
    '/keys.gpg',
  );
  t.equal(
    sid,
    'deb [arch=amd64 signed-by=/keys.gpg check-valid-until=no] http://m/debian/ sid main',
  );
  t.equal(stable, 'deb [arch=amd64 signed-by=/keys.gpg] http://m/debian/ trixie main');
  t.equal(security, 'deb [arch=amd64 signed-by=/keys.gpg] http://m/sec/ trixie-security main');
  const without = { ...mirrors, security: undefined };
  t.same(sourceLines(without, ['trixie-security'], '/keys.gpg'), []);
});
