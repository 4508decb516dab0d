/**
 * A hardware watchdog that a process pets: held in doubt for longer than it waits, the source is not reset; and on the
 * new body it counts, although nobody but the image had ever started it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Load } from '../../images/lab/demo/load.ts';
import { move, waitForHost } from '../../images/lab/demo/migrate.ts';
import type { MigrationReport } from '../../images/lab/demo/report/schema.ts';
import { setFault } from '../../images/lab/faults/strike.ts';
import { Lab } from '../../images/lab/lab.ts';
import { textProgress } from '../../images/progress.ts';
import { Client } from '../../orchestrator/cli/client.ts';

// A migration takes what it takes; the runner has the limit.
t.setTimeout(0);

const PROMPT_MS = 120_000;
/** Shorter than the wait for a target that says nothing. */
const WATCHDOG_S = 6;
const SET_TIMEOUT = 0xc0045706; // WDIOC_SETTIMEOUT
/** It counts down twice, and the host may be slow; another machine's timeout would be 30 s, twice. */
const RESET_LIMIT_MS = 40_000;
const DIRECTORY = '/sys/class/watchdog/watchdog0';

const PETTER = [
  'open(F, ">", "/dev/watchdog0") or die',
  `$seconds = pack("i", ${WATCHDOG_S})`,
  `ioctl(F, ${SET_TIMEOUT}, $seconds) or die`,
  'while (1) { syswrite(F, "1"); sleep(1) }',
].join('; ');

const progress = textProgress();
const lab = await Lab.start({ saved: true }, progress);
t.teardown(() => lab.stop());
const orchestrator = new Client({ socketPath: lab.orchestratorSocket });
const load = await Load.start('light', lab.runDir, (argv) => lab.inside(argv), progress);
// A test that fails half-way must not leave a client that keeps this process.
t.teardown(() => load.stop());
await lab.ssh(`systemd-run -q --unit=petter perl -e '${PETTER}'`);

/** Its state, and the seconds that it waits. */
async function watchdog(): Promise<string[]> {
  return (await lab.ssh(`cat ${DIRECTORY}/state ${DIRECTORY}/timeout`)).trim().split('\n');
}

/** From the snapshot to the end of the last phase that was reached, in ms. */
function heldFor({ phases }: MigrationReport): number {
  const snapshot = phases.find(({ name }) => name === 'snapshot');
  const ends = phases.map(({ start_ms, duration_ms }) => start_ms + duration_ms);
  return snapshot ? Math.max(...ends) - snapshot.start_ms : 0;
}

const order = { source: 'node1', target: 'node2' } as const;

t.test('the source is held for longer than its watchdog waits', async (t) => {
  t.strictSame(await watchdog(), ['active', String(WATCHDOG_S)], 'it counts');
  await setFault(lab, 'F13:both');
  await waitForHost(orchestrator, 'node1', 'running', PROMPT_MS);
  await waitForHost(orchestrator, 'node2', 'standby', PROMPT_MS);
  const { report, end_ns } = await move(orchestrator, order, () => undefined);
  t.match(report, { outcome: 'rolled-back', owner: 'source', error: { code: 'fenced-target' } });
  const held_s = heldFor(report) / 1000;
  t.ok(held_s > 2 * WATCHDOG_S, `it stood still for ${held_s} s, and the watchdog counts twice`);
  t.ok(await load.commitsAfter(end_ns, PROMPT_MS), 'the client goes on');
  t.strictSame(await watchdog(), ['active', String(WATCHDOG_S)]);
  await lab.recycle(lab.machines.node2);
});

t.test('then it moves, and its watchdog counts there', async (t) => {
  await setFault(lab, '');
  await waitForHost(orchestrator, 'node1', 'running', PROMPT_MS);
  const { report, end_ns } = await move(orchestrator, order, () => undefined);
  t.match(report, { outcome: 'moved', owner: 'target', error: null });
  t.ok(await load.commitsAfter(end_ns, PROMPT_MS), 'the client goes on');
  t.strictSame(await watchdog(), ['active', String(WATCHDOG_S)]);
  const check = await load.rest();
  t.match(check, { lost: 0, connection_survived: true, rows_agree: true, errors: [] });
  await sleep(WATCHDOG_S * 2000);
  t.ok(lab.machines.node2.isRunning(), 'as long as it is petted nothing happens');
  await load.stop();
  await lab.ssh('systemctl kill -s STOP petter');
  const stopped_ms = performance.now();
  await lab.machines.node2.waitForPowerOff(RESET_LIMIT_MS);
  const after_s = (performance.now() - stopped_ms) / 1000;
  t.ok(after_s > 1, `and when it is not, the machine is reset: ${after_s} s after that`);
  t.notMatch(lab.machines.node2.consoleText(), /reboot: Power down/, 'by nobody but the watchdog');
});
