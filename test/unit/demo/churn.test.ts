/** The service that changes every kind of memory must notice a single wrong byte, in any of its processes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { run } from '../../../images/processes.ts';

const SOURCE = resolve(import.meta.dirname, '../../../images/lab/guest/churn.c');
const FLAGS = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror'];
const LIMIT_MS = 20_000;

function childrenOf(parent: number): { pid: number; kind: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      const [, kind = '', rest = ''] =
        /\((.*)\) . (\d+)/.exec(readFileSync(`/proc/${Number(name)}/stat`, 'utf8')) ?? [];
      return Number(rest) === parent ? [{ pid: Number(name), kind }] : [];
    } catch {
      return [];
    }
  });
}

/** Changes one byte in the middle of the largest mapping of its own. */
function damage(pid: number): void {
  const ranges = readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, begin = '0', end = '0'] = /^(\w+)-(\w+) rw/.exec(line) ?? [];
      return [[Number.parseInt(begin, 16), Number.parseInt(end, 16)] as const];
    })
    .sort(([a, b], [c, d]) => d - c - (b - a));
  const [begin = 0, end = 0] = ranges[0] ?? [];
  const descriptor = openSync(`/proc/${pid}/mem`, 'r+');
  writeSync(descriptor, Buffer.from([0x5a]), 0, 1, (begin + end) / 2);
  closeSync(descriptor);
}

async function build(t: { testdir: () => string }): Promise<string> {
  const program = resolve(t.testdir(), 'churn');
  await run(['gcc', ...FLAGS, '-o', program, SOURCE]);
  return program;
}

t.test('it goes on as long as memory is right, and ends at a wrong byte', async (t) => {
  const program = await build(t);
  for (const victim of ['anonymous', 'tmpfs', 'direct']) {
    const churn = spawn(program, [resolve(program, '..')], { stdio: ['ignore', 'ignore', 'pipe'] });
    t.teardown(() => churn.kill('SIGKILL'));
    let said = '';
    churn.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await sleep(1000);
    t.equal(churn.exitCode, null, `it goes on ${said}`);
    const children = childrenOf(churn.pid ?? 0);
    t.equal(children.length, 8, 'one process a kind');
    const exit = once(churn, 'exit');
    // A pass may be about to write anew what was damaged.
    const { pid = 0 } = children.find(({ kind }) => kind === victim) ?? {};
    for (const deadline = performance.now() + LIMIT_MS; performance.now() < deadline; ) {
      if (churn.exitCode !== null) break;
      try {
        damage(pid);
      } catch {
        // It has ended; the exit below says how.
        break;
      }
      await sleep(37);
    }
    t.strictSame((await exit)[0], 1, `${victim}: it ends`);
    t.match(said, new RegExp(`churn: ${victim}: `), 'and says where');
  }
});

t.test('wrong words are refused', async (t) => {
  const program = await build(t);
  await t.rejects(run([program, 'one', 'two']));
  await t.rejects(run([program, '/does/not/exist']), 'a directory that is not there');
});
