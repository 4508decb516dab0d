/**
 * The disk of the machine that moves: a root file system with the agent, the helpers, units and keys put in. They are
 * written into a copy of the ext4 file with debugfs, which needs neither root nor a loop device. A partition of its own
 * says who owns the disk (agent/native/common/ownership.h).
 */
import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { AGENT, agentBundle, NODE } from './agent-bundle.ts';
import { type Artefact, cached, digestOfFile, type Input } from './cache.ts';
import { HOST_KEY, keys, USER_KEY } from './keys.ts';
import { FREEZE, nativeHelpers } from './native.ts';
import type { LabOptions } from './options.ts';
import { inTree } from './paths.ts';
import { CommandError, run } from './processes.ts';
import type { Progress } from './progress.ts';
import { DISK_FILE, OWNER_PARTLABEL, ROOT_OFFSET_BYTES, rootfs } from './rootfs.ts';

/** A file put onto the disk besides our own: its path there, and where it comes from. */
export interface ExtraFile {
  path: string;
  source: string;
  mode?: number;
}

export interface DiskExtras {
  files: ExtraFile[];
  /** Units among the files that start at boot. */
  units: string[];
}

const FILES = 'images/disk/files';
const WANTED_UNITS = '/etc/systemd/system/multi-user.target.wants';
const UNITS = [
  'pmsm-service-network.service',
  'pmsm-network.service',
  'pmsm-agent.service',
  'pmsm-ready.service',
];
const RECIPE_VERSION = 4;

const SECTOR_BYTES = 512;
const ROOT_SECTOR = ROOT_OFFSET_BYTES / SECTOR_BYTES;
/** The machine of a lab that boots from it. */
const FIRST_OWNER = 'node1';
/** Two partitions: who owns the disk, and the root file system. Behind them lies the second partition table. */
const PARTITION = `
sectors=$(($(stat -c %s "$1") / ${SECTOR_BYTES}))
truncate -s $(((${ROOT_SECTOR} + sectors + 2048) * ${SECTOR_BYTES})) "$2"
PATH=$PATH:/usr/sbin:/sbin sfdisk -q "$2" <<END
label: gpt
start=2048, size=${ROOT_SECTOR - 2048}, name=${OWNER_PARTLABEL}
start=${ROOT_SECTOR}, size=$sectors, name=pmsm-root
END
dd if="$1" of="$2" bs=1M seek=${ROOT_OFFSET_BYTES / 2 ** 20} conv=notrunc,sparse status=none
truncate -s 8192 "$1.record"
"$3" owner --record "$1.record" --take ${FIRST_OWNER}
dd if="$1.record" of="$2" bs=1M seek=1 conv=notrunc status=none
rm "$1.record"
`;

export async function hostDisk(
  options: Pick<LabOptions, 'database' | 'packages'>,
  extras: DiskExtras,
  progress: Progress,
): Promise<Artefact> {
  const base = await rootfs(options, progress);
  const key = await keys(progress);
  const helpers = await nativeHelpers(progress);
  const agent = await agentBundle(progress);
  const files: ExtraFile[] = [
    ...ownFiles(),
    { path: '/opt/pmsm/node', source: NODE, mode: 0o755 },
    { path: `/opt/pmsm/${AGENT}`, source: agent.path(AGENT) },
    { path: `/opt/pmsm/${FREEZE}`, source: helpers.path(FREEZE), mode: 0o755 },
    { path: '/etc/ssh/ssh_host_ed25519_key', source: key.path(HOST_KEY), mode: 0o600 },
    { path: '/root/.ssh/authorized_keys', source: key.path(`${USER_KEY}.pub`), mode: 0o600 },
    ...extras.files,
  ];
  const units = [...UNITS, ...extras.units];
  return cached(
    {
      name: 'disk',
      title: "Making the host's disk",
      inputs: { version: RECIPE_VERSION, base, units, files: files.map(describeFile) },
      build: async (directory, { run }) => {
        const root = resolve(directory, 'root.img');
        await run(['cp', '--sparse=auto', '--reflink=auto', base.path(DISK_FILE), root]);
        await putFiles(root, files, units, resolve(directory, 'commands'));
        await run(['e2fsck', '-fn', root]);
        const freeze = helpers.path(FREEZE);
        await run(['sh', '-euc', PARTITION, 'sh', root, resolve(directory, DISK_FILE), freeze]);
        rmSync(root);
      },
    },
    progress,
  );
}

function ownFiles(): ExtraFile[] {
  return readdirSync(inTree(FILES), { recursive: true, encoding: 'utf8' })
    .map((file) => ({ path: `/${file}`, source: inTree(FILES, file) }))
    .filter(({ source }) => statSync(source).isFile())
    .sort((a, b) => a.path.localeCompare(b.path));
}

/** By content: where a file lies on this machine makes no difference to the disk. */
function describeFile(file: ExtraFile): Input {
  return [file.path, modeOf(file), digestOfFile(file.source)];
}

function modeOf(file: ExtraFile): number {
  return file.mode ?? ((statSync(file.source).mode & 0o100) !== 0 ? 0o755 : 0o644);
}

/** Writes files into an ext4 file system, with enabled units; what exists is replaced. */
export async function putFiles(
  disk: string,
  files: ExtraFile[],
  units: string[],
  commands: string,
): Promise<void> {
  const debugfs = async (lines: string[]): Promise<string[]> => {
    const said: string[] = [];
    writeFileSync(commands, `${lines.join('\n')}\n`);
    await run(['debugfs', '-w', '-f', commands, disk], { onLine: (line) => said.push(line) });
    return said;
  };
  const directories = directoriesOf([...files.map(({ path }) => path), `${WANTED_UNITS}/unit`]);
  // Asked first: `mkdir` of a directory that exists leaks an inode.
  const looks = await debugfs(directories.map((directory) => `stat ${directory}`));
  const missing = directories.filter((path) =>
    looks.some((line) => line.startsWith(`${path}: File not found`)),
  );
  refuseComplaints(await debugfs(debugfsCommands(missing, files, units)));
}

/** Every directory that these paths lie in, parents before children. */
function directoriesOf(paths: string[]): string[] {
  const directories = new Set<string>();
  for (const path of paths) {
    for (let parent = dirname(path); parent !== '/'; parent = dirname(parent)) {
      directories.add(parent);
    }
  }
  return [...directories].sort();
}

function debugfsCommands(directories: string[], files: ExtraFile[], units: string[]): string[] {
  return [
    ...directories.map((directory) => `mkdir ${directory}`),
    ...files.flatMap((file) => [
      `rm ${file.path}`,
      `write ${file.source} ${file.path}`,
      `set_inode_field ${file.path} mode 0${(0o100000 | modeOf(file)).toString(8)}`,
      `set_inode_field ${file.path} uid 0`,
      `set_inode_field ${file.path} gid 0`,
    ]),
    ...directories
      .filter((directory) => directory.endsWith('/.ssh'))
      .map((directory) => `set_inode_field ${directory} mode 040700`),
    ...units.flatMap((unit) => [
      `rm ${WANTED_UNITS}/${unit}`,
      `symlink ${WANTED_UNITS}/${unit} /etc/systemd/system/${unit}`,
    ]),
  ];
}

/** What debugfs says when all is well; it exits with 0 whatever happened. */
const EXPECTED = /^(debugfs: |debugfs \d|Allocated inode: |rm: File not found |$)/;

export function refuseComplaints(lines: string[]): void {
  const complaint = lines.find((line) => !EXPECTED.test(line));
  if (complaint !== undefined) throw new CommandError(['debugfs'], 0, complaint);
}
