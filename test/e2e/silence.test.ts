/**
 * Who says what, and who writes what, when: seen from the switch's ports and from the disk. From the quarantine until
 * it thaws or is released the source sends nothing but the flow of the migration, and writes nothing from the snapshot
 * on; the target does neither under the service's name before `go`. And no connection notices, of whatever kind.
 */
import t, { type Test } from 'tap';
import { ARP, Capture, type Frame, tcpOverIpv4 } from '../../images/lab/capture.ts';
import { isBegin, type Moved, move, waitForHost } from '../../images/lab/demo/migrate.ts';
import { setFault } from '../../images/lab/faults/strike.ts';
import { Lab, type MachineName } from '../../images/lab/lab.ts';
import type { LabOptionsInput } from '../../images/options.ts';
import { textProgress } from '../../images/progress.ts';
import { Client } from '../../orchestrator/cli/client.ts';
import { Peers, RAW_PLACE, startServices } from './peers/services.ts';

// A migration takes what it takes; the runner has the limit.
t.setTimeout(0);

const SERVICE_MAC = '52:54:00:00:00:01';
const MIGRATION_PORTS = [7071, 7072];
const PROMPT_MS = 90_000;
/** The axis of a report is tied to this machine's clock by an event's time in whole milliseconds. */
const CLOCK_SLACK_MS = 3;
/** From the record of `go` to the first frame that teaches the switch the new port. */
const PORT_MOVES_MS_MAX = 100;
/** The raw writer writes to the page cache all the time, and the kernel brings that to the disk twice a second. */
const RAW_RECENT_MS = 2500;
/** The lease of a helper that got stuck (3 s), less what it had been renewed before the snapshot was there. */
const HELD_MS = 2500;
/** One for each attempt. */
const HIDDEN = { failing: '10.0.0.253', moving: '10.0.0.252' } as const;

const progress = textProgress();

t.test('two networks', async (t) => {
  const lab = await startLab(t, { nic: 'virtio' });
  await t.test('an attempt that fails', (t) => failing(t, lab));
  await t.test('a move', (t) => moving(t, lab));
});

t.test('one network for both', async (t) => {
  const lab = await startLab(t, { nic: 'virtio', single_nic: true });
  await moving(t, lab);
});

async function startLab(t: Test, options: LabOptionsInput): Promise<Lab> {
  const lab = await Lab.start({ saved: true, logDisk: true, ...options }, progress);
  t.teardown(() => lab.stop());
  await startServices(lab);
  return lab;
}

async function attempt(lab: Lab, peers: Peers): Promise<Moved> {
  const orchestrator = new Client({ socketPath: lab.orchestratorSocket });
  await waitForHost(orchestrator, 'node1', 'running', PROMPT_MS);
  await waitForHost(orchestrator, 'node2', 'standby', PROMPT_MS);
  return await move(orchestrator, { source: 'node1', target: 'node2' }, (event) => {
    if (isBegin(event, 'freeze')) peers.openMore();
  });
}

/** What a machine has sent, over all of its ports. */
async function captureOf(t: Test, lab: Lab, machine: MachineName): Promise<() => Promise<Frame[]>> {
  const networks = lab.options.single_nic
    ? (['service'] as const)
    : (['service', 'migration'] as const);
  const captures = await Promise.all(
    networks.map((network) => Capture.start(lab, machine, network)),
  );
  t.teardown(() => captures.map((capture) => capture.drop()));
  return async () => {
    const frames = (await Promise.all(captures.map((capture) => capture.stop()))).flat();
    return frames.sort((a, b) => Number(a.at_ns - b.at_ns));
  };
}

async function failing(t: Test, lab: Lab): Promise<void> {
  await setFault(lab, 'F09:stop');
  const source = await captureOf(t, lab, 'node1');
  const target = await captureOf(t, lab, 'node2');
  const peers = await Peers.start(lab, HIDDEN.failing);
  t.teardown(() => peers.stop());
  const moved = await attempt(lab, peers);
  t.match(moved.report, { outcome: 'rolled-back', owner: 'source' });
  await checkPeers(t, peers);
  await setFault(lab, '');
  const when = timesOf(moved);
  const thawed = when('snapshot', 'begin') + BigInt(HELD_MS) * 1_000_000n;
  const silent = (frame: Frame) => frame.at_ns > when('quarantine', 'end') && frame.at_ns < thawed;
  t.strictSame(strays((await source()).filter(silent)), [], 'the source says nothing else');
  t.strictSame(ofService(await target()), [], 'the target says nothing in its name');
  checkUnwritten(t, lab, 'node1', when('snapshot', 'begin'), thawed);
  t.strictSame(lab.diskChanges('node2'), [], 'the target writes nothing');
}

async function moving(t: Test, lab: Lab): Promise<void> {
  const source = await captureOf(t, lab, 'node1');
  const target = await captureOf(t, lab, 'node2');
  const peers = await Peers.start(lab, HIDDEN.moving);
  t.teardown(() => peers.stop());
  const moved = await attempt(lab, peers);
  t.match(moved.report, { outcome: 'moved', owner: 'target', error: null });
  await checkPeers(t, peers);
  await lab.machines.node1.waitForPowerOff(PROMPT_MS);
  const when = timesOf(moved);
  const go = when('go', 'begin');
  const vacated = (await source()).filter(({ at_ns }) => at_ns > when('quarantine', 'end'));
  t.strictSame(strays(vacated), [], 'the source says nothing but the flow, until it is off');
  t.ok(vacated.length > 0, `and that is seen: ${vacated.length} frames`);
  const said = await target();
  const [first, ...rest] = ofService(said);
  t.ok(first && first.at_ns > go, "the target says nothing in the service's name before go");
  const after_ms = first ? Number(first.at_ns - go) / 1e6 : Number.POSITIVE_INFINITY;
  t.ok(after_ms <= PORT_MOVES_MS_MAX, `the switch knows the new port ${after_ms} ms after go`);
  t.ok(rest.length > 0, 'it goes on to speak');
  const waking = ({ at_ns }: Frame) => at_ns > when('alive', 'begin') && at_ns < go;
  t.strictSame(strays(said.filter(waking)), [], 'nor anything else but the flow');
  // Among the programs of administrators, which not every user has in his path.
  const { stdout } = await lab.exec([
    'sh',
    '-c',
    'PATH=$PATH:/usr/sbin:/sbin bridge fdb show br br0',
  ]);
  t.match(
    String(stdout),
    new RegExp(`${SERVICE_MAC} dev node2-s`),
    'the switch sends frames there',
  );
  const powerOff = BigInt(Date.now()) * 1_000_000n;
  checkUnwritten(t, lab, 'node1', when('snapshot', 'begin'), powerOff);
  const written = lab.diskChanges('node2');
  const early = written.filter(({ at_ns }) => at_ns < go);
  t.strictSame(early, [], 'the target writes nothing before go');
  t.ok(written.length > 0, `and ${written.length} times after it`);
}

async function checkPeers(t: Test, peers: Peers): Promise<void> {
  for (const { name, ok, detail } of await peers.finish()) t.ok(ok, `${name} ${detail}`.trim());
}

type Edge = 'begin' | 'end';

/** When a phase began or ended, in wall time of this machine, which captures and the disk's log have. */
function timesOf(moved: Moved): (phase: string, edge: Edge) => bigint {
  const wall_ns = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6));
  const offset_ns = wall_ns - process.hrtime.bigint();
  return (name, edge) => {
    const phase = moved.report.phases.find((one) => one.name === name);
    if (!phase) throw new Error(`the report has no phase ${name}`);
    const at_ms = phase.start_ms + (edge === 'end' ? phase.duration_ms : 0);
    return moved.zero_ns + offset_ns + BigInt(Math.round(at_ms * 1e6));
  };
}

const ofService = (frames: readonly Frame[]): Frame[] =>
  frames.filter(({ from }) => from === SERVICE_MAC);

/** Whatever is not the flow between helper, standby and orchestrator, or what finds their MAC addresses. */
function strays(frames: readonly Frame[]): string[] {
  const stray = frames.filter((frame) => {
    if (frame.from === SERVICE_MAC) return true;
    if (frame.type === ARP) return false;
    const tcp = tcpOverIpv4(frame);
    return !tcp || ![tcp.from_port, tcp.to_port].some((port) => MIGRATION_PORTS.includes(port));
  });
  return stray.map(({ from, to, type, payload }) =>
    [from, to, type.toString(16), payload.subarray(0, 48).toString('hex')].join(' '),
  );
}

/** No change of the disk in between; that there is one before shows that it would be seen. */
function checkUnwritten(
  t: Test,
  lab: Lab,
  machine: MachineName,
  begin_ns: bigint,
  end_ns: bigint,
): void {
  const changes = lab.diskChanges(machine);
  const slack_ns = BigInt(CLOCK_SLACK_MS) * 1_000_000n;
  const inside = changes.filter(({ at_ns }) => at_ns > begin_ns + slack_ns && at_ns < end_ns);
  t.strictSame(inside, [], `${machine} writes nothing from the snapshot on`);
  const before = changes.filter(({ at_ns }) => at_ns <= begin_ns + slack_ns);
  t.ok(before.length > 0, `and ${before.length} times before`);
  const raw = before.filter(
    ({ offset_bytes: at }) => at >= RAW_PLACE.begin_bytes && at < RAW_PLACE.end_bytes,
  );
  const last_ms = Number(begin_ns - (raw.at(-1)?.at_ns ?? 0n)) / 1e6;
  t.ok(last_ms < RAW_RECENT_MS, `the last time without a file system ${last_ms} ms before that`);
}
