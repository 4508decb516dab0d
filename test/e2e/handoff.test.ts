/**
 * From commit to release exactly one machine goes on, whoever dies: helpers, their deputies, whole machines that boot
 * again by themselves. What the model says (test/model/handoff.pml), tried on machines.
 */
import t, { type Test } from 'tap';
import { attemptOf } from '../../images/lab/demo/assemble.ts';
import { complaintsIn } from '../../images/lab/demo/complaints.ts';
import { findGaps } from '../../images/lab/demo/gaps.ts';
import { Load } from '../../images/lab/demo/load.ts';
import { isBegin, type Moved, move, waitForHost } from '../../images/lab/demo/migrate.ts';
import { Lab, type MachineName } from '../../images/lab/lab.ts';
import { textProgress } from '../../images/progress.ts';
import { Client } from '../../orchestrator/cli/client.ts';
import type { MigrationEvent } from '../../orchestrator/store/record.ts';
import { checkNothingLeft, setFault } from './support.ts';

// A migration takes what it takes; the runner has the limit.
t.setTimeout(0);

const PROMPT_MS = 120_000;
/** A helper that dies is followed by its deputy, which connects anew. */
const OUTAGE_MS_MAX = 5000;
/**
 * One that gets stuck is ended when its lease has ended (3 s) and the guard has seen that (1.5 s). The client tries
 * again after 6.2 s, and on a host that is so slow that it was too early, after 12.6 s.
 */
const STUCK_OUTAGE_MS_MAX = 13_500;

const progress = textProgress();
const lab = await Lab.start({ saved: true }, progress);
t.teardown(() => lab.stop());
const orchestrator = new Client({ socketPath: lab.orchestratorSocket });
const load = await startLoad('kept');
/** Where the machine is, and where it could go. */
let here: MachineName = 'node1';
let there: MachineName = 'node2';

async function startLoad(connection: 'kept' | 'reconnect'): Promise<Load> {
  const started = await Load.start(
    'light',
    lab.runDir,
    (argv) => lab.inside(argv),
    progress,
    connection,
  );
  // A test that fails half-way must not leave a client that keeps this process.
  t.teardown(() => started.stop());
  return started;
}

async function attempt(
  fault: string,
  onEvent: (event: MigrationEvent) => void = () => undefined,
): Promise<Moved> {
  await waitForHost(orchestrator, here, 'running', PROMPT_MS);
  await waitForHost(orchestrator, there, 'standby', PROMPT_MS);
  await setFault(lab, fault);
  await waitForHost(orchestrator, here, 'running', PROMPT_MS);
  return await move(orchestrator, { source: here, target: there }, onEvent);
}

/** The machine is on the other side, and the one that it left is the next standby. */
async function turn(): Promise<void> {
  await lab.recycle(lab.machines[here]);
  [here, there] = [there, here];
}

/** The machine goes on with everything it had, and no kernel complains. */
async function checkUnharmed(t: Test, moved: Moved, outage_ms_max: number): Promise<void> {
  t.ok(await load.commitsAfter(moved.end_ns, PROMPT_MS), 'the client goes on');
  const { client } = findGaps(load.commits(), attemptOf(moved));
  t.ok(client !== null && client <= outage_ms_max, `the client saw ${client} ms`);
  await checkNothingLeft(t, lab);
  t.strictSame(complaintsIn(await lab.ssh('dmesg')), [], 'nor has its kernel anything to say');
}

/** What the disk says of its owner. */
async function checkOwner(t: Test, machine: MachineName): Promise<void> {
  const said: unknown = JSON.parse(await lab.ssh('/opt/pmsm/pmsm-freeze owner'));
  t.match(said, { state: 'owned', machine }, `${machine} owns the disk`);
}

const HELPERS = [
  { fault: 'F11:kill', what: 'before it says that it has given up' },
  { fault: 'F12:segv', what: 'when it has said so' },
  { fault: 'F13:kill', what: 'as the new body wakes up' },
  { fault: 'F14:segv', what: 'when it has reported from there' },
  { fault: 'F15:kill', what: 'when go has come' },
  { fault: 'F16:kill', what: 'as the vacated machine powers off' },
] as const;

for (const { fault, what } of HELPERS) {
  t.test(`${fault}: the helper dies ${what}`, async (t) => {
    const moved = await attempt(fault);
    t.match(moved.report, { outcome: 'moved', owner: 'target', error: null, warnings: [] });
    await checkUnharmed(t, moved, OUTAGE_MS_MAX);
    await checkOwner(t, there);
    await turn();
  });
}

for (const [fault, what] of [
  ['F15:late', 'dies'],
  ['F15:hang', 'gets stuck'],
] as const) {
  t.test(`${fault}: the helper ${what} when it has taken go, and its deputy is gone`, async (t) => {
    const moved = await attempt(fault);
    t.match(moved.report, { outcome: 'moved', owner: 'target' });
    t.equal(moved.report.error?.code, 'thaw-unconfirmed', 'nobody was left to say so');
    await checkUnharmed(t, moved, STUCK_OUTAGE_MS_MAX);
    // Its agent knows where it is, the disk is its own, and the vacated machine is let go.
    await checkOwner(t, there);
    await turn();
  });
}

t.test('F09:stop: the helper gets stuck, and the kernel thaws', async (t) => {
  const moved = await attempt('F09:stop');
  t.match(moved.report, { outcome: 'rolled-back', owner: 'source' });
  await checkUnharmed(t, moved, STUCK_OUTAGE_MS_MAX);
  await checkOwner(t, here);
});

t.test('F13:both: helper and deputy die on the new body, which stays frozen', async (t) => {
  const moved = await attempt('F13:both');
  t.match(moved.report, { outcome: 'rolled-back', owner: 'source' });
  t.equal(moved.report.error?.code, 'fenced-target');
  t.match(lab.machines[there].consoleText(), /held frozen, and nobody is left to thaw it/);
  t.ok(await load.commitsAfter(moved.end_ns, PROMPT_MS), 'the client goes on');
  await checkOwner(t, here);
  await lab.recycle(lab.machines[there]);
});

t.test('F12:both: helper and deputy die on the source, which stays frozen', async (t) => {
  const moved = await attempt('F12:both');
  t.match(moved.report, { outcome: 'moved', owner: 'target' });
  t.match(moved.report.warnings, [{ code: 'release-unconfirmed' }]);
  await checkUnharmed(t, moved, OUTAGE_MS_MAX);
  await checkOwner(t, there);
  await lab.machines[here].powerOff();
  await turn();
});

/** The plug is pulled and put in again: the machine boots as any other, and its boot guard decides. */
async function reset(name: MachineName): Promise<void> {
  const machine = lab.machines[name];
  await machine.powerOff();
  await machine.powerOn('host');
}

t.test('the source is reset when the jump is ordered', async (t) => {
  const vacated = here;
  const moved = await attempt('', (event) => {
    if (isBegin(event, 'jump')) void reset(vacated);
  });
  t.match(moved.report, { outcome: 'moved', owner: 'target' });
  await checkUnharmed(t, moved, OUTAGE_MS_MAX);
  await lab.machines[vacated].waitForConsole(`pmsm: standby ${vacated}`, PROMPT_MS);
  await waitForHost(orchestrator, vacated, 'standby', PROMPT_MS);
  [here, there] = [there, here];
});

t.test('the target is reset when the jump is ordered', async (t) => {
  const moved = await attempt('', (event) => {
    if (isBegin(event, 'jump')) void reset(there);
  });
  t.match(moved.report, { outcome: 'rolled-back', owner: 'source' });
  t.ok(await load.commitsAfter(moved.end_ns, PROMPT_MS), 'the client goes on');
  await lab.machines[there].waitForConsole(`pmsm: standby ${there}`, PROMPT_MS);
  await waitForHost(orchestrator, there, 'standby', PROMPT_MS);
  const check = await load.rest();
  t.match(check, { lost: 0, connection_survived: true, rows_agree: true, errors: [] });
});

/** For what no connection lives through. Two clients at once would write the same rows. */
async function connectAnew(): Promise<Load> {
  await load.stop();
  return await startLoad('reconnect');
}

t.test('the target is reset when go was recorded: an ordinary crash of that machine', async (t) => {
  const crashed = await connectAnew();
  const vacated = here;
  // Its helper does nothing with go, so that it is certain that nothing was done.
  const moved = await attempt('F15:stop', (event) => {
    if (isBegin(event, 'thaw')) void reset(there);
  });
  t.match(moved.report, { outcome: 'moved', owner: 'target' });
  t.equal(moved.report.error?.code, 'thaw-unconfirmed');
  t.ok(lab.machines[vacated].isRunning(), 'the vacated machine is kept until the other one runs');
  t.ok(await crashed.commitsAfter(moved.end_ns, PROMPT_MS), 'the client connects anew');
  await checkOwner(t, there);
  await turn();
  t.match(await crashed.rest(), { lost: 0, rows_agree: true });
  await crashed.stop();
});

t.test('the source is reset while it sends: it boots from its disk', async (t) => {
  const crashed = await connectAnew();
  const moved = await attempt('', (event) => {
    if (isBegin(event, 'freeze')) void reset(here);
  });
  t.match(moved.report, { outcome: 'rolled-back', owner: 'source' });
  t.ok(await crashed.commitsAfter(moved.end_ns, PROMPT_MS), 'the client connects anew');
  await lab.machines[here].waitForConsole('this machine owns the disk', PROMPT_MS);
  await checkOwner(t, here);
  t.match(await crashed.rest(), { lost: 0, rows_agree: true });
});
