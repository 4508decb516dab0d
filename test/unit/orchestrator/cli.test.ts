/** The command line as a process, against a real orchestrator with fake machines. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { makeApp } from '../../../orchestrator/api/app.ts';
import { findEndpoint, parseEndpoint } from '../../../orchestrator/cli/endpoint.ts';
import { exitCodeOf } from '../../../orchestrator/cli/exit.ts';
import { formatBytes, formatMs, formatTable } from '../../../orchestrator/cli/format.ts';
import { type Behaviour, eventually, type Lab, startLab } from './fakes.ts';

// It waits for many processes to begin and end. The runner's minute is the limit; tap's 30 s pass on a slow host.
t.setTimeout(0);

const MAIN = resolve(import.meta.dirname, '../../../orchestrator/cli/main.ts');
const WRAPPER = resolve(import.meta.dirname, '../../../orchestrator/cli/pmsm.mjs');
const LIMIT_MS = 20_000;

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

interface Started {
  child: ReturnType<typeof spawn>;
  text: () => string;
  ended: Promise<Ended>;
}

function begin(t: Test, orchestrator: string, args: string[], program = MAIN): Started {
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, PMSM_ORCHESTRATOR: orchestrator },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  const signal = AbortSignal.timeout(LIMIT_MS);
  const ended = once(child, 'close', { signal }).then(([code]) => ({ code, stdout, stderr }));
  return { child, text: () => stderr, ended };
}

function pmsm(t: Test, orchestrator: string, ...args: string[]): Promise<Ended> {
  return begin(t, orchestrator, args).ended;
}

/** With `patient` phases may take as long as on real machines. */
async function start(
  t: Test,
  behaviour: Behaviour = {},
  patient = false,
): Promise<{ lab: Lab; url: string }> {
  const lab = await startLab(t.testdir(), behaviour, patient ? { timeouts_ms: {} } : {});
  const app = await makeApp(lab.service);
  const directory = mkdtempSync(join(tmpdir(), 'pmsm-'));
  const path = join(directory, 'o.sock');
  await app.listen({ path });
  t.teardown(async () => {
    await app.close();
    await lab.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return { lab, url: `unix:${path}` };
}

t.jobs = 4;

t.test('migrate: the end decides the exit code', async (t) => {
  const cases: Array<[string, Behaviour, number, object]> = [
    ['moved', {}, 0, { outcome: 'moved', owner: 'target', error: null }],
    [
      'rolled back',
      { standby: { ready: { error: 'image-rejected' } } },
      4,
      { outcome: 'rolled-back', owner: 'source', error: { code: 'image-rejected' } },
    ],
    [
      'timeout',
      { standby: { ready: 'silent' } },
      7,
      { outcome: 'rolled-back', error: { code: 'timeout' } },
    ],
    ['in doubt', { standby: { jump: 'silent' } }, 5, { outcome: 'in-doubt', owner: 'in-doubt' }],
    [
      'refused',
      {
        findings: [{ code: 'memory-too-full', severity: 'refuse', found: '', why: '', remedy: '' }],
      },
      3,
      { outcome: 'refused', error: { code: 'memory-too-full' } },
    ],
    [
      'moved, not confirmed',
      { resumed: { go: 'silent' } },
      1,
      { outcome: 'moved', owner: 'target' },
    ],
  ];
  t.jobs = 3;
  for (const [name, behaviour, code, expected] of cases) {
    t.test(name, async (t) => {
      const { url } = await start(t, behaviour);
      const ended = await pmsm(t, url, 'migrate', 'node1', 'node2', '--json', '--stall-ms', '200');
      t.equal(ended.code, code, ended.stderr);
      const data = JSON.parse(ended.stdout);
      t.match(data, expected);
      t.equal(data.report.outcome, data.outcome);
    });
  }
});

t.test('what a person reads', async (t) => {
  const { url } = await start(t);
  const moved = await pmsm(t, url, 'migrate', 'node1', 'node2', '--yes');
  t.equal(moved.stdout, '', 'talk goes to stderr');
  t.match(moved.stderr, /quarantine .* source\n/);
  t.match(moved.stderr, /The machine has moved \(node1 to node2, [0-9a-f]{32}\)\./);
  t.match(moved.stderr, /It stood still for /);
  t.notOk(moved.stderr.includes('\u001b'), 'no colours and no cursor without a terminal');
  const id = /[0-9a-f]{32}/.exec(moved.stderr)?.[0] ?? '';

  t.match((await pmsm(t, url, 'status')).stdout, new RegExp(`${id} +node1 +node2 +moved +target`));
  t.match((await pmsm(t, url, 'status', id)).stdout, /owner +target/);
  t.match((await pmsm(t, url, 'report', id)).stdout, /PHASE +SIDE +START +DURATION/);
  t.match((await pmsm(t, url, 'hosts')).stdout, /NAME +ADDRESS +STATE/);
  const watched = await pmsm(t, url, 'watch', id);
  t.match(watched, { code: 0, stderr: /The machine has moved/ }, 'watching what has ended');
  const data = JSON.parse((await pmsm(t, url, 'report', id, '--json')).stdout);
  t.match(data, { ok: true, outcome: 'moved' });
});

t.test('check', async (t) => {
  const good = await start(t);
  t.match(await pmsm(t, good.url, 'check', 'node1', 'node2'), {
    code: 0,
    stdout: /node1 can move to node2\./,
  });
  t.match(await pmsm(t, good.url, 'check', 'node1'), { code: 0, stdout: /node1 can move\./ });
  const finding = {
    code: 'would-not-freeze',
    severity: 'refuse',
    found: 'a',
    why: 'b',
    remedy: 'c',
  };
  const bad = await start(t, { findings: [finding as never] });
  t.match(await pmsm(t, bad.url, 'check', 'node1', 'node2'), {
    code: 3,
    stdout: /refuse {2}would-not-freeze: a\n +b\n +c\nnode1 cannot move/,
  });
  const json = await pmsm(t, bad.url, 'check', 'node1', 'node2', '--json');
  t.match(JSON.parse(json.stdout), { ok: false, findings: Array });
});

t.test('Ctrl-C detaches, the migration goes on', async (t) => {
  const { lab, url } = await start(t, { source: { freeze: 'silent' } }, true);
  const started = begin(t, url, ['migrate', 'node1', 'node2', '--json']);
  await eventually(() => started.text().includes('prepare'), LIMIT_MS);
  started.child.kill('SIGINT');
  const { code, stdout, stderr } = await started.ended;
  t.equal(code, 130);
  const { id, detached } = JSON.parse(stdout);
  t.ok(detached);
  t.match(stderr, new RegExp(`Detached.*pmsm watch ${id}`));
  t.equal(lab.service.site.store.get(id)?.state, 'frozen', 'still under way');

  const cancelled = await pmsm(t, url, 'cancel', id);
  t.equal(cancelled.code, 0, cancelled.stderr);
  const watched = await pmsm(t, url, 'watch', id, '--json');
  t.equal(watched.code, 4);
  t.match(JSON.parse(watched.stdout), { error: { code: 'cancelled' }, owner: 'source' });
  t.equal((await pmsm(t, url, 'cancel', id)).code, 6);
});

t.test('resolve ends a doubt', async (t) => {
  const { lab, url } = await start(t, { standby: { jump: 'silent' } });
  const doubt = await pmsm(t, url, 'migrate', 'node1', 'node2', '--json');
  t.equal(doubt.code, 5);
  const { id } = JSON.parse(doubt.stdout);
  t.equal((await pmsm(t, url, 'resolve', id)).code, 2, 'not without the word of a person');
  const both = ['--target-is-off', '--source-is-off'];
  t.equal((await pmsm(t, url, 'resolve', id, ...both)).code, 2, 'nor with two');
  t.equal((await pmsm(t, url, 'resolve', id, '--source-is-off')).code, 2, 'not in this doubt');
  t.notOk(lab.world.source_runs);
  const resolved = await pmsm(t, url, 'resolve', id, '--target-is-off');
  t.match(resolved, { code: 4, stderr: /The source runs again/ });
  t.ok(lab.world.source_runs);
  t.notOk(lab.world.both_ran);
  const again = await pmsm(t, url, 'resolve', id, '--target-is-off');
  t.match(again, { code: 2, stderr: /rolled-back, not in doubt/ });
});

t.test('detached from the beginning', async (t) => {
  const { lab, url } = await start(t);
  const { code, stdout } = await pmsm(t, url, 'migrate', 'node1', 'node2', '--detach');
  t.equal(code, 0);
  t.match(stdout, /^[0-9a-f]{32}\n$/);
  await lab.service.workflow.settled();
  t.equal(lab.service.site.store.get(stdout.trim())?.state, 'moved');
});

t.test('what is wrong is said in one sentence, with the remedy', async (t) => {
  const { url } = await start(t);
  const cases: Array<[string[], number, RegExp]> = [
    [['migrate', 'node1', 'nobody'], 2, /No machine of that name is configured\. nobody\n +Name/],
    [['migrate', 'node1', 'node1'], 2, /same machine/],
    [['migrate', 'node1', 'node2', '--stall-ms', 'x'], 2, /stall-ms/],
    [['migrate', 'node1', 'node2', '--codec', 'x'], 2, /Allowed choices/],
    [['migrate', 'node1'], 2, /missing required argument 'target'/],
    [['nothing'], 2, /unknown command/],
    [['status', 'a'.repeat(32)], 2, /There is no migration with that id/],
    [['status', '--limit', '0'], 2, /--limit/],
  ];
  for (const [args, code, pattern] of cases) {
    const ended = await pmsm(t, url, ...args);
    t.equal(ended.code, code, args.join(' '));
    t.match(ended.stderr, pattern);
    t.equal(ended.stdout, '');
  }
  const json = await pmsm(t, url, 'status', 'a'.repeat(32), '--json');
  t.match(JSON.parse(json.stdout), { error: { code: 'unknown-migration', remedy: String } });
});

t.test('nobody at the address', async (t) => {
  for (const where of ['unix:/nonexistent/o.sock', 'http://127.0.0.1:1']) {
    const ended = await pmsm(t, where, 'hosts');
    t.match(ended, { code: 1, stderr: /The orchestrator does not answer\./ });
  }
  t.equal((await pmsm(t, 'ftp://x', 'hosts')).code, 2);
});

t.test('the wrapper passes exit code and signals on', async (t) => {
  const { url } = await start(t, { source: { freeze: 'silent' } }, true);
  t.equal((await begin(t, url, ['migrate', 'node1', 'nobody'], WRAPPER).ended).code, 2);
  t.equal((await begin(t, url, ['--help'], WRAPPER).ended).code, 0);
  const started = begin(t, url, ['migrate', 'node1', 'node2'], WRAPPER);
  await eventually(() => started.text().includes('prepare'), LIMIT_MS);
  started.child.kill('SIGINT');
  t.equal((await started.ended).code, 130);
});

t.test('exit codes', async (t) => {
  const of = (outcome: string, code?: string) =>
    exitCodeOf({ outcome, error: code ? { code, detail: '' } : null } as never);
  t.equal(of('moved'), 0);
  t.equal(of('moved', 'thaw-unconfirmed'), 1);
  t.equal(of('rolled-back', 'stalled'), 4);
  t.equal(of('rolled-back', 'commit-unanswered'), 4, 'the outcome wins over the catalogue');
  t.equal(of('rolled-back', 'timeout'), 7);
  t.equal(of('in-doubt', 'fenced-target'), 5);
  t.equal(of('refused', 'kernel-mismatch'), 3);
  t.equal(of('refused', 'cancelled'), 3);
});

t.test('where the orchestrator is', async (t) => {
  t.strictSame(parseEndpoint('unix:/a/b'), { socketPath: '/a/b' });
  t.strictSame(parseEndpoint('http://h:1'), { host: 'h', port: 1 });
  t.strictSame(parseEndpoint('h'), { host: 'h', port: 7070 });
  t.strictSame(parseEndpoint('http://[::1]:5'), { host: '::1', port: 5 });
  t.throws(() => parseEndpoint('https://h'), { code: 'bad-request' });
  const uid = process.getuid?.();
  const one = t.testdir({ [`pmsm-lab-${uid}`]: { a: { 'orchestrator.sock': '' } } });
  t.strictSame(findEndpoint(undefined, { XDG_RUNTIME_DIR: one }), {
    socketPath: join(one, `pmsm-lab-${uid}`, 'a', 'orchestrator.sock'),
  });
  t.strictSame(findEndpoint(undefined, { XDG_RUNTIME_DIR: '/nonexistent' }), {
    host: '127.0.0.1',
    port: 7070,
  });
  const env = { PMSM_ORCHESTRATOR: 'http://env:1' };
  t.strictSame(findEndpoint(undefined, env), { host: 'env', port: 1 });
  t.strictSame(findEndpoint('http://told:2', env), { host: 'told', port: 2 });
});

t.test('figures', async (t) => {
  t.equal(formatBytes(0), '0 B');
  t.equal(formatBytes(1536), '1.5 KiB');
  t.equal(formatBytes(2_147_483_648), '2.0 GiB');
  t.equal(formatMs(1.234), '1.2 ms');
  t.equal(formatMs(999), '999 ms');
  t.equal(formatMs(1234), '1.23 s');
  t.equal(
    formatTable([
      ['a', 'b'],
      ['ccc', ''],
    ]),
    'a    b\nccc\n',
  );
});
