/** Ctrl-C leaves no process, tap, namespace or half artefact behind. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { cacheDirectory } from '../../images/paths.ts';
import { ROOT } from './support.ts';

// A migration takes what it takes; the runner has the limit.
t.setTimeout(0);

const MARK = 'PMSM_TEST_MARK';
const START_LIMIT_MS = 240_000;
const END_LIMIT_MS = 20_000;

/** Every process that has the mark in its environment was started by this test. */
function marked(mark: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`${MARK}=${mark}`);
      } catch {
        return false;
      }
    });
}

/** Half artefacts in the cache. Other users of it may have some of their own, also ones that were killed long ago. */
function halfArtefacts(): string[] {
  return globSync('*.part', { cwd: cacheDirectory() });
}

for (const [moment, text] of [
  ['the boot', 'Booting host and standby'],
  ['the load', 'Move 1 of 1'],
] as const) {
  t.test(`Ctrl-C during ${moment}`, async (t) => {
    const mark = randomUUID();
    const before = new Set(halfArtefacts());
    const child = spawn('npm', ['run', '-s', 'demo'], {
      cwd: ROOT,
      env: { ...process.env, [MARK]: mark },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A terminal sends the signal to the whole group, so this is one.
      detached: true,
    });
    let output = '';
    const seen = new Promise<boolean>((resolve) => {
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (chunk: Buffer) => {
          output += chunk.toString();
          if (output.includes(text)) setTimeout(() => resolve(true), 3000);
        });
      }
      child.on('close', () => resolve(false));
      setTimeout(() => resolve(false), START_LIMIT_MS).unref();
    });
    const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
    t.ok(await seen, `it came to ${moment}`);
    t.ok(marked(mark).length > 3, 'it runs machines');
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
    const code = await Promise.race([closed, sleep(END_LIMIT_MS, 'still running')]);
    t.not(code, 'still running', 'it ends soon');
    t.not(code, 0, 'and not as if all were well');
    t.same(marked(mark), [], 'no process is left, and so no namespace and no tap');
    const left = halfArtefacts().filter((name) => !before.has(name));
    t.same(left, [], 'no half artefact is left');
    for (const pid of marked(mark)) process.kill(pid, 'SIGKILL');
  });
}
