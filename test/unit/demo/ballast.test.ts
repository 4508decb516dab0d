/** The process that fills the bench's machine must notice a single wrong byte, and keep to its rate. */
import { execFile } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { endBallast, startBallast } from '../../../images/lab/guest/ballast.ts';
import { run } from '../../../images/processes.ts';

const SOURCE = resolve(import.meta.dirname, '../../../images/lab/guest/ballast.c');
const FLAGS = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror'];
const HELD_MIB = 32;
const LIMIT_MS = 20_000;
const PAGE_BYTES = 4096;
const PAGES_PER_MIB = 256;
/** Two batches: one at the beginning and one that was just begun. */
const SLACK_PAGES = 128;

interface Started {
  readonly pid: number;
  /** As the waiter's own exit has it. */
  readonly exit: Promise<{ code: number; stderr: string }>;
}

/** prctl(PR_SET_CHILD_SUBREAPER): the program goes into the background, and must be somebody's child there. */
const WAITER =
  '$| = 1; syscall(157, 36, 1, 0, 0, 0) == 0 or die; print system(@ARGV) >> 8, "\\n"; wait; exit($? >> 8 || $? & 127)';

async function start(t: Test, program: string, words: readonly number[]): Promise<Started> {
  const child = execFile('perl', ['-e', WAITER, program, ...words.map(String)]);
  t.teardown(() => child.kill('SIGKILL'));
  let said = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: string) => {
    said += chunk;
  });
  child.stderr?.on('data', (chunk: string) => {
    stderr += chunk;
  });
  const exit = new Promise<{ code: number; stderr: string }>((done) =>
    child.on('close', (code) => done({ code: code ?? -1, stderr })),
  );
  for (const deadline = performance.now() + LIMIT_MS; said === ''; ) {
    if (performance.now() > deadline) throw new Error(`it does not start: ${stderr}`);
    await sleep(20);
  }
  t.equal(said.trim(), '0', 'the parent ends when memory is filled');
  const pid = readdirSync('/proc').find((name) => parentOf(name) === child.pid);
  const started = { pid: Number(pid), exit };
  t.teardown(() => {
    try {
      process.kill(started.pid, 'SIGKILL');
    } catch {
      // It has ended, as it should.
    }
  });
  return started;
}

function parentOf(name: string): number {
  try {
    const status = readFileSync(`/proc/${Number(name)}/stat`, 'utf8');
    return Number(/\) . (\d+)/.exec(status)?.[1]);
  } catch {
    return -1;
  }
}

/** Where what it holds begins. */
function held(pid: number): number {
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const [, begin = '0', end = '0'] = /^(\w+)-(\w+) rw/.exec(line) ?? [];
    const from = Number.parseInt(begin, 16);
    if (Number.parseInt(end, 16) - from >= HELD_MIB * 2 ** 20) return from;
  }
  throw new Error('there is no such mapping');
}

/** One byte in the middle of what it holds. */
function damage(pid: number): void {
  const memory = openSync(`/proc/${pid}/mem`, 'r+');
  writeSync(memory, Buffer.from([0x5a]), 0, 1, held(pid) + HELD_MIB * 2 ** 19 + 5);
  closeSync(memory);
}

function read(pid: number): Buffer {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const all = Buffer.alloc(HELD_MIB * 2 ** 20);
  readSync(memory, all, 0, all.length, held(pid));
  closeSync(memory);
  return all;
}

async function build(t: Test): Promise<string> {
  const program = resolve(t.testdir(), 'ballast');
  await run(['gcc', ...FLAGS, '-o', program, SOURCE]);
  return program;
}

t.test('what it holds is right until somebody changes it', async (t) => {
  const program = await build(t);
  for (const words of [
    [HELD_MIB, 0, 0],
    [HELD_MIB, 8, 200],
  ]) {
    const good = await start(t, program, words);
    await sleep(500);
    process.kill(good.pid, 'SIGTERM');
    t.strictSame(await good.exit, { code: 0, stderr: '' }, words.join(' '));
    const bad = await start(t, program, words);
    damage(bad.pid);
    process.kill(bad.pid, 'SIGTERM');
    t.match(await bad.exit, { code: 1, stderr: /^ballast: page \d+, word \d+ is not of pass 0/ });
  }
});

t.test('a wrong word in what changes ends it by itself', async (t) => {
  const { pid, exit } = await start(t, await build(t), [HELD_MIB, HELD_MIB, 100]);
  damage(pid);
  t.match(await exit, { code: 1, stderr: /is not of pass/ });
});

t.test('it writes as much as it is told to', async (t) => {
  const { pid, exit } = await start(t, await build(t), [HELD_MIB, HELD_MIB, 20]);
  const begin = performance.now();
  const before = read(pid);
  await sleep(500);
  const after = read(pid);
  const most = Math.ceil(((performance.now() - begin) / 1000) * 20 * PAGES_PER_MIB) + SLACK_PAGES;
  let written = 0;
  for (let at = 0; at < before.length; at += PAGE_BYTES) {
    written += Number(before.compare(after, at, at + PAGE_BYTES, at, at + PAGE_BYTES) !== 0);
  }
  t.ok(written > 0 && written <= most, `${written} pages of at most ${most} were written`);
  process.kill(pid, 'SIGTERM');
  t.equal((await exit).code, 0);
});

t.test('wrong words are refused', async (t) => {
  const program = await build(t);
  const exec = promisify(execFile);
  for (const words of ['', '1 2 3', '0 0 0', 'x 0 0', '1 0 5', '-1 0 0', '2000000 0 0']) {
    await t.rejects(exec(program, words.split(' ')), { code: 2 }, words);
  }
});

t.test('what the machine says of it', async (t) => {
  const asked: string[] = [];
  const saying = (text: string) => async (command: string) => {
    asked.push(command);
    return text;
  };
  await startBallast(saying(''), { held_mib: 64, change_mib_per_s: 10 });
  t.match(asked[0], /ballast 64 64 10$/, 'no more changes than is held');
  t.equal(await endBallast(saying('active\nsuccess\n')), '');
  t.match(
    await endBallast(saying('failed\nexit-code\nballast: page 7')),
    /failed, exit-code.*page 7/,
  );
  t.match(await endBallast(saying('inactive\nsuccess\n')), /inactive/, 'it was never there');
});
