import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { PmsmError } from '../../../agent/wire/errors.ts';
import { cached, digestOf, type Recipe } from '../../../images/cache.ts';
import { cacheDirectory } from '../../../images/paths.ts';
import { silentProgress } from '../../../images/progress.ts';

const BUILDER = resolve(import.meta.dirname, 'builder.ts');
const WAIT_LIMIT_MS = 15_000;

function recipe(inputs: Recipe['inputs'], build: Recipe['build']): Recipe {
  return { name: 'thing', title: 'Making a thing', inputs, build, keep: 2 };
}

const entries = (directory: string): string[] =>
  readdirSync(directory)
    .filter((name) => name !== 'locks')
    .sort();

t.beforeEach((t) => {
  process.env.PMSM_CACHE = t.testdir({});
});

t.test('an artefact is built once and then taken from the cache', async (t) => {
  let builds = 0;
  const make = (text: string): Promise<{ path: (file: string) => string }> =>
    cached(
      recipe({ text }, async (directory) => {
        builds += 1;
        writeFileSync(resolve(directory, 'file'), text);
      }),
      silentProgress,
    );
  const first = await make('a');
  const again = await make('a');
  t.equal(builds, 1);
  t.equal(first.path('file'), again.path('file'));
  t.equal(readFileSync(again.path('file'), 'utf8'), 'a');
  await make('b');
  t.equal(builds, 2);
});

t.test('a digest depends on every input and not on their order', async (t) => {
  const artefact = { name: 'x', digest: 'abc', directory: '/', path: () => '/' };
  t.equal(digestOf({ a: 1, b: [artefact, 'y'] }), digestOf({ b: [artefact, 'y'], a: 1 }));
  t.not(digestOf({ a: 1, b: artefact }), digestOf({ a: 1, b: { ...artefact, digest: 'abd' } }));
  t.not(digestOf({ a: '1' }), digestOf({ a: 1 }));
  t.not(digestOf({ a: ['x', 'y'] }), digestOf({ a: ['x,y'] }));
  const file = (name: string): string => digestOf({ file: { file: name } });
  t.not(file('package.json'), file('tsconfig.json'));
});

t.test('a failed build leaves its log and nothing else', async (t) => {
  const failing = recipe({ n: 1 }, async (directory, { run }) => {
    writeFileSync(resolve(directory, 'half'), '');
    await run(['sh', '-c', 'echo reason of the failure; exit 3']);
  });
  const error = await cached(failing, silentProgress).catch((thrown: unknown) => thrown);
  t.ok(error instanceof PmsmError);
  t.equal((error as PmsmError).code, 'build-failed');
  const [log, ...others] = entries(process.env.PMSM_CACHE as string);
  t.same(others, []);
  const path = resolve(process.env.PMSM_CACHE as string, log as string);
  t.ok((error as PmsmError).detail.includes(path), 'the error names the log');
  t.match(readFileSync(path, 'utf8'), 'reason of the failure');
});

t.test('old artefacts of the same name are removed', async (t) => {
  for (const text of ['a', 'b', 'c']) {
    await cached(
      recipe({ text }, async () => undefined),
      silentProgress,
    );
  }
  t.equal(entries(process.env.PMSM_CACHE as string).length, 2);
});

function start(...args: string[]): ChildProcess {
  return spawn(process.execPath, [BUILDER, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function output(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  await new Promise((done) => child.once('close', done));
  return text;
}

t.test('two processes that want the same artefact build it once', async (t) => {
  const outputs = await Promise.all([output(start('quick')), output(start('quick'))]);
  t.same(outputs.map((text) => text.includes('built')).sort(), [false, true]);
  t.ok(outputs.every((text) => text.includes('have it')));
});

async function waitFor(what: string, holds: () => boolean): Promise<void> {
  const deadline_ms = performance.now() + WAIT_LIMIT_MS;
  while (!holds()) {
    if (performance.now() > deadline_ms) throw new Error(`${what}: not in time`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

function pidOfChild(): number | undefined {
  const [half] = entries(process.env.PMSM_CACHE as string).filter((name) => name.endsWith('.part'));
  if (half === undefined) return undefined;
  const file = resolve(process.env.PMSM_CACHE as string, half, 'pid');
  const text = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  return text === '' ? undefined : Number(text);
}

const runs = (pid: number): boolean => {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

t.test('Ctrl-C ends the children and removes the half artefact', async (t) => {
  const child = start('slow');
  await waitFor('the build', () => pidOfChild() !== undefined);
  const pid = pidOfChild() as number;
  t.ok(runs(pid));
  const closed = new Promise<number | null>((done) => child.once('close', done));
  child.kill('SIGINT');
  t.equal(await closed, 130);
  t.notOk(runs(pid), 'the child of the child has ended');
  t.same(
    entries(process.env.PMSM_CACHE as string).filter((name) => name.endsWith('.part')),
    [],
  );
});

t.test('a process that is killed blocks nobody, and its half artefact goes', async (t) => {
  const child = start('lone');
  await waitFor('the build', () => pidOfChild() !== undefined);
  const pid = pidOfChild() as number;
  const closed = new Promise((done) => child.once('close', done));
  child.kill('SIGKILL');
  await closed;
  await waitFor('the end of its child', () => !runs(pid));
  const text = await output(start('lone', 'at-once'));
  t.match(text, 'have it');
  const left = entries(process.env.PMSM_CACHE as string).filter((name) => name.endsWith('.part'));
  t.same(left, []);
});

t.test('a cache that cannot be made is refused at once, by name', async (t) => {
  const file = resolve(t.testdir({ file: '' }), 'file');
  for (const place of ['/proc/pmsm/cache', resolve(file, 'cache')]) {
    t.throws(() => cacheDirectory({ PMSM_CACHE: place }), { code: 'missing-prerequisites' }, place);
  }
  const fresh = resolve(t.testdir({}), 'a/b/c');
  t.equal(cacheDirectory({ PMSM_CACHE: fresh }), fresh);
  t.ok(existsSync(fresh), 'it is made, with what leads to it');
});
