/**
 * The yardstick: QEMU's own live migration. It is tuned as its users would: no limit to the bandwidth, and
 * the machine may stand still for 300 ms, QEMU's own default.
 */
import { resolve } from 'node:path';
import type { Moved } from '../../demo/migrate.ts';
import type { Scene } from '../../demo/one-move.ts';
import { type BenchEngine, movedBy, now_ns } from './engine.ts';

const DOWNTIME_LIMIT_MS = 300;
const LIMIT_MS = 300_000;
const NS_PER_MS = 1e6;

const socketOf = ({ stage }: Scene): string => `unix:${resolve(stage.runDir, 'live-migration')}`;

/** Where the standby was, an emulator waits for the machine: as prepared as a standby is. */
async function prepare(scene: Scene): Promise<void> {
  const { node2 } = scene.stage.lab.machines;
  await node2.powerOff();
  await node2.powerOn('host', { incoming: socketOf(scene) });
}

async function move(scene: Scene): Promise<Moved> {
  const { lab } = scene.stage;
  const { node1 } = lab.machines;
  const begin_ns = now_ns();
  const done = await node1.handOver(socketOf(scene), DOWNTIME_LIMIT_MS, LIMIT_MS);
  const end_ns = now_ns();
  await node1.powerOff();
  const after = (ms: number) => begin_ns + BigInt(Math.round(ms * NS_PER_MS));
  const stopped_ns = after(done.total_ms - done.downtime_ms);
  return movedBy({
    engine: 'hypervisor',
    begin_ns,
    end_ns,
    stopped_ns,
    window_ms: done.downtime_ms,
    spans: [
      { name: 'precopy', side: 'source', begin_ns, end_ns: stopped_ns },
      { name: 'switch', side: 'target', begin_ns: stopped_ns, end_ns: after(done.total_ms) },
    ],
    memory_bytes: lab.options.memory_mib * 2 ** 20,
    sent_bytes: done.sent_bytes,
  });
}

export const hypervisor: BenchEngine = {
  what: "QEMU's own live migration",
  keeps: 'machine',
  prepare,
  move,
};
