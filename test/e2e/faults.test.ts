/**
 * One lab, one client connection, one failure after the other: each time the source must run on as if nothing had
 * happened. At the end the same machine moves, so nothing that a failed attempt left behind was in the way. With the
 * engine full, since its image takes long enough to be hit; what only the engine delta does is in delta.test.ts.
 */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { attemptOf } from '../../images/lab/demo/assemble.ts';
import { findGaps } from '../../images/lab/demo/gaps.ts';
import { Load } from '../../images/lab/demo/load.ts';
import { isBegin, type Moved, move, waitForHost } from '../../images/lab/demo/migrate.ts';
import { leftoversOn } from '../../images/lab/faults/leftovers.ts';
import { setFault } from '../../images/lab/faults/strike.ts';
import { Lab } from '../../images/lab/lab.ts';
import { textProgress } from '../../images/progress.ts';
import { Client } from '../../orchestrator/cli/client.ts';
import type { MigrationEvent } from '../../orchestrator/store/record.ts';

// A migration takes what it takes; the runner has the limit.
t.setTimeout(0);

const PROMPT_MS = 90_000;
/** Until the client goes on after a fault before commit: the stall limit, the thaw, a retransmission. */
const OUTAGE_MS_MAX = 10_000;

const progress = textProgress();
const lab = await Lab.start({ saved: true }, progress);
t.teardown(() => lab.stop());
const orchestrator = new Client({ socketPath: lab.orchestratorSocket });
const load = await Load.start('light', lab.runDir, (argv) => lab.inside(argv), progress);
// A test that fails half-way must not leave a client that keeps this process.
t.teardown(() => load.stop());
const order = { source: 'node1', target: 'node2', engine: 'full' } as const;

async function ready(): Promise<void> {
  await waitForHost(orchestrator, 'node1', 'running', PROMPT_MS);
  await waitForHost(orchestrator, 'node2', 'standby', PROMPT_MS);
}

async function attempt(onEvent: (event: MigrationEvent) => void = () => undefined): Promise<Moved> {
  await ready();
  return await move(orchestrator, order, onEvent);
}

/** The source runs, unfrozen and open to its client, and the client lost nothing. */
async function checkUnharmed(t: Test, moved: Moved, outage_ms_max: number): Promise<void> {
  t.equal(moved.report.owner, 'source', 'the source owns the machine');
  t.equal(moved.report.outcome, 'rolled-back');
  t.ok(await load.commitsAfter(moved.end_ns, PROMPT_MS), 'the client goes on');
  const { client } = findGaps(load.commits(), attemptOf(moved));
  t.ok(client !== null && client <= outage_ms_max, `the client saw ${client} ms`);
  t.strictSame(await leftoversOn(lab), [], 'nothing was left behind');
}

const cases = [
  { fault: 'F08:kill', what: 'the helper is killed before the snapshot', code: 'source-lost' },
  { fault: 'F08:fail', what: 'the kernel makes no snapshot', code: 'internal' },
  { fault: 'F09:kill', what: 'the helper is killed while it sends', code: 'source-lost' },
  { fault: 'F09:stall', what: 'the image stops flowing', code: 'stalled' },
] as const;

for (const { fault, what, code } of cases) {
  t.test(`${fault}: ${what}`, async (t) => {
    await setFault(lab, fault);
    const moved = await attempt();
    t.equal(moved.report.error?.code, code);
    await checkUnharmed(t, moved, OUTAGE_MS_MAX);
  });
}

t.test('a migration is cancelled while it sends', async (t) => {
  await setFault(lab, '');
  let cancelled = false;
  const moved = await attempt((event) => {
    if (cancelled || !isBegin(event, 'send')) return;
    cancelled = true;
    void cancelNewest();
  });
  t.ok(cancelled, 'it came to send');
  t.equal(moved.report.error?.code, 'cancelled');
  await checkUnharmed(t, moved, OUTAGE_MS_MAX);
});

async function cancelNewest(): Promise<void> {
  const [newest] = await orchestrator.list(1);
  if (newest) await orchestrator.cancel(newest.id);
}

t.test('the standby loses power while the image flows', async (t) => {
  const moved = await attempt((event) => {
    if (isBegin(event, 'send')) void lab.machines.node2.powerOff();
  });
  t.match(moved.report.error?.code, /^(stream-failed|target-lost|stalled)$/);
  await checkUnharmed(t, moved, OUTAGE_MS_MAX);
  t.rejects(
    orchestrator.start({ ...order, options: {} }).then(({ id }) => outcomeOf(id)),
    {
      code: 'target-not-standby',
    },
  );
  await sleep(500);
  await lab.recycle(lab.machines.node2);
});

async function outcomeOf(id: string): Promise<never> {
  for await (const _ of orchestrator.follow(id, AbortSignal.timeout(PROMPT_MS)));
  const { error } = await orchestrator.report(id);
  throw error ?? new Error('it did not fail');
}

t.test('bad input is refused, with the source untouched', async (t) => {
  await ready();
  const pmsm = async (...words: string[]) => {
    const socket = `unix:${lab.orchestratorSocket}`;
    const main = resolve(import.meta.dirname, '../../orchestrator/cli/main.ts');
    const argv = [process.execPath, main, '--orchestrator', socket, ...words];
    const { exitCode, stderr } = await lab.exec(argv, { reject: false });
    return { exitCode, stderr: String(stderr) };
  };
  const unknown = await pmsm('migrate', 'node1', 'node9');
  t.equal(unknown.exitCode, 2);
  t.match(unknown.stderr, /No machine of that name/);
  const same = await pmsm('migrate', 'node1', 'node1');
  t.equal(same.exitCode, 2);
  const backwards = await pmsm('migrate', 'node2', 'node1');
  t.equal(backwards.exitCode, 3, backwards.stderr);
  t.ok(await load.commitsAfter(process.hrtime.bigint(), PROMPT_MS), 'the client goes on');
});

t.test('a file system that cannot be frozen, for another one is mounted over it', async (t) => {
  await lab.ssh(
    'cd /var/tmp; truncate -s 8M lower upper; mkfs.ext4 -q lower; mkfs.ext4 -q upper; mkdir -p both; ' +
      'mount -o loop lower both; mount -o loop upper both',
  );
  const moved = await attempt();
  t.match(moved.report.error, { code: 'filesystem-freeze-failed' });
  await lab.ssh('cd /var/tmp; umount both; umount both; rm -r both lower upper');
  await checkUnharmed(t, moved, OUTAGE_MS_MAX);
});

t.test('then the same machine moves', async (t) => {
  const moved = await attempt();
  t.equal(moved.report.outcome, 'moved');
  t.equal(moved.report.owner, 'target');
  t.ok(await load.commitsAfter(moved.end_ns, PROMPT_MS), 'the client goes on');
});

/**
 * The way back, with the plug pulled after the jump was ordered. The outage is as long as the wait for the target and
 * its fence, here about 20 s, and the source's kernel has an answer to send all the while: that must not end the
 * connection (agent/native/common/quarantine.h).
 */
t.test('the target loses power after the jump was ordered', async (t) => {
  await lab.recycle(lab.machines.node1);
  await waitForHost(orchestrator, 'node2', 'running', PROMPT_MS);
  await waitForHost(orchestrator, 'node1', 'standby', PROMPT_MS);
  const back = { source: 'node2', target: 'node1' };
  const { report, end_ns } = await move(orchestrator, back, (event) => {
    if (isBegin(event, 'jump')) void lab.machines.node1.powerOff();
  });
  t.equal(report.error?.code, 'fenced-target');
  t.equal(report.outcome, 'rolled-back');
  t.equal(report.owner, 'source');
  t.strictSame(await leftoversOn(lab), [], 'nothing was left behind');
  t.ok(await load.commitsAfter(end_ns, PROMPT_MS), 'the client goes on');
  const check = await load.rest();
  t.match(check, { lost: 0, connection_survived: true, rows_agree: true, errors: [] });
});
