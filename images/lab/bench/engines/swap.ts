/**
 * Stock hibernation to the disk that both machines reach; the other one boots a kernel that finds the image and
 * resumes: the first scheme of BOMLO (2011), without any part of pmsm.
 */
import { PmsmError } from '../../../../agent/wire/errors.ts';
import type { Moved } from '../../demo/migrate.ts';
import type { Scene } from '../../demo/one-move.ts';
import { type BenchEngine, movedBy, now_ns } from './engine.ts';

const SWAP_FILE = '/var/swap';
/** An image is at most half of memory; it is compressed besides. */
const SWAP_PART = 0.5;
const HIBERNATE_LIMIT_MS = 180_000;
const RESUME_LIMIT_MS = 180_000;
/** sshd must be able to answer first. */
const DELAY_MS = 200;
const SCRIPT = '/run/pmsm-swap.sh';
const MARK = 'pmsm: resumed from swap';

/** The swap file, and where on the disk it begins, for the kernel that is to find it. */
async function prepare({ stage, options }: Scene): Promise<void> {
  const mib = Math.ceil(options.lab.memory_mib * SWAP_PART);
  await stage.lab.machines.node2.powerOff();
  await stage.onHost(
    `fallocate -l ${mib}M ${SWAP_FILE} && chmod 600 ${SWAP_FILE} && mkswap -q ${SWAP_FILE} && ` +
      `swapon ${SWAP_FILE} && echo 0 >/proc/sys/vm/swappiness`,
  );
}

/** Device as major:minor and offset in pages of the swap file. */
async function placeOf({ stage }: Scene): Promise<{ device: string; offset: number }> {
  const said = await stage.onHost(`filefrag -v ${SWAP_FILE}; echo; stat -c '%Hd:%Ld' ${SWAP_FILE}`);
  const offset = /^\s*0:\s+0\.\.\s*\d+:\s*(\d+)\.\./m.exec(said)?.[1];
  const device = said.trim().split('\n').at(-1);
  if (offset === undefined || device === undefined) {
    throw new PmsmError('lab-failed', `no place for an image: ${said.slice(-300)}`);
  }
  return { device, offset: Number(offset) };
}

/** The new network cards have other addresses than the kernel set at its boot: they are set again. */
function script(device: string, offset: number): string {
  const cards = 'for card in /sys/class/net/eth*; do name=$(basename $card); ';
  const again = 'ip link set dev $name address $(cat $card/address); done';
  return (
    `echo ${offset} >/sys/power/resume_offset; echo ${device} >/sys/power/resume; ` +
    `echo shutdown >/sys/power/disk; echo disk >/sys/power/state || exit 1; ` +
    `${cards}${again}; echo '${MARK}' >/dev/console`
  );
}

async function move(scene: Scene): Promise<Moved> {
  const { stage, load } = scene;
  const { lab } = stage;
  const { node1, node2 } = lab.machines;
  const { device, offset } = await placeOf(scene);
  const text = Buffer.from(script(device, offset)).toString('base64');
  await lab.ssh(`echo ${text} | base64 -d >${SCRIPT}`);
  const timer = `--on-active=${DELAY_MS}ms --timer-property=AccuracySec=10ms`;
  const begin_ns = now_ns();
  await lab.ssh(`systemd-run --quiet ${timer} sh ${SCRIPT}`);
  await node1.waitForPowerOff(HIBERNATE_LIMIT_MS);
  const off_ns = now_ns();
  const words = [`resume=${device}`, `resume_offset=${offset}`];
  await node2.powerOn('host', { kernelWords: words });
  await node2.waitForConsole(MARK, RESUME_LIMIT_MS);
  const up_ns = now_ns();
  await load.commitsAfter(up_ns, RESUME_LIMIT_MS);
  return movedBy({
    engine: 'swap',
    begin_ns,
    end_ns: now_ns(),
    stopped_ns: begin_ns,
    window_ms: null,
    spans: [
      { name: 'hibernate', side: 'source', begin_ns, end_ns: off_ns },
      { name: 'boot-and-resume', side: 'target', begin_ns: off_ns, end_ns: up_ns },
    ],
    memory_bytes: lab.options.memory_mib * 2 ** 20,
    sent_bytes: null,
  });
}

export const swap: BenchEngine = {
  what: 'stock hibernation to the shared disk',
  keeps: 'machine',
  prepare,
  move,
};
