/** What is done today: the service stops, the machine shuts down, the other one boots from the same disk. */
import type { Moved } from '../../demo/migrate.ts';
import type { Scene } from '../../demo/one-move.ts';
import { HOST_UP } from '../../lab.ts';
import { type BenchEngine, movedBy, now_ns } from './engine.ts';

const SHUTDOWN_LIMIT_MS = 180_000;
const BOOT_LIMIT_MS = 300_000;

async function prepare({ stage }: Scene): Promise<void> {
  await stage.lab.machines.node2.powerOff();
}

async function move({ stage, load }: Scene): Promise<Moved> {
  const { lab } = stage;
  const { node1, node2 } = lab.machines;
  const begin_ns = now_ns();
  // The disk changes its owner, and the boot guard of the other machine believes the disk.
  await lab.ssh(`/opt/pmsm/pmsm-freeze owner --take ${node2.name}; systemctl poweroff --no-block`);
  await node1.waitForPowerOff(SHUTDOWN_LIMIT_MS);
  const off_ns = now_ns();
  await node2.powerOn('host');
  await node2.waitForConsole(HOST_UP, BOOT_LIMIT_MS);
  const up_ns = now_ns();
  await load.commitsAfter(up_ns, BOOT_LIMIT_MS);
  return movedBy({
    engine: 'cold',
    begin_ns,
    end_ns: now_ns(),
    stopped_ns: begin_ns,
    window_ms: null,
    spans: [
      { name: 'shut-down', side: 'source', begin_ns, end_ns: off_ns },
      { name: 'boot', side: 'target', begin_ns: off_ns, end_ns: up_ns },
    ],
    memory_bytes: lab.options.memory_mib * 2 ** 20,
    sent_bytes: null,
  });
}

export const cold: BenchEngine = {
  what: 'shut down, boot the other machine',
  keeps: 'disk',
  prepare,
  move,
};
