/**
 * The root file system of a host: Debian with a real database, as an ext4 disk without pmsm in it. What changes often
 * (agent, helpers, units) is put in afterwards by disk.ts, so that a change there costs seconds.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Artefact, cached } from './cache.ts';
import type { LabOptions } from './options.ts';
import { inTree } from './paths.ts';
import type { Progress } from './progress.ts';
import { archiveKeyring, hostMirrors, STABLE, sourceLines } from './setup/apt.ts';
import { requireSpace } from './setup/packages.ts';

/** 9.x of MySQL is in "sid" only, MariaDB in the stable release; nobody gets one for the other silently. */
const DATABASES = {
  mysql: { suite: 'sid', packages: ['mysql-server'] },
  mariadb: { suite: STABLE, packages: ['mariadb-server'] },
} as const;

const PACKAGES = [
  'systemd',
  'systemd-sysv',
  'udev',
  'kmod',
  'procps',
  'iproute2',
  'iputils-ping',
  'nftables',
  'ethtool',
  'e2fsprogs',
  'openssh-server',
  // The agent's Node is linked with it.
  'libatomic1',
];

/** Documentation is never read there and would be copied for every lab. */
const LEFT_OUT = ['doc', 'man', 'info', 'locale'];
const DISK_MIB = 3072;
const RECIPE_VERSION = 2;

export const DISK_FILE = 'disk.img';
/** Where the root file system begins on a host's disk; before it lies the record of who owns the disk. */
export const ROOT_OFFSET_BYTES = 2 * 2 ** 20;
export const OWNER_PARTLABEL = 'pmsm-owner';
export const DISK_LABEL = 'pmsm-root';

export function rootfs(
  options: Pick<LabOptions, 'database' | 'packages'>,
  progress: Progress,
): Promise<Artefact> {
  const customize = 'images/disk/customize.sh';
  return cached(
    {
      name: 'rootfs',
      title: `Making the host's root file system (Debian ${DATABASES[options.database].suite})`,
      inputs: {
        version: RECIPE_VERSION,
        database: options.database,
        packages: [...PACKAGES, ...DATABASES[options.database].packages, ...options.packages],
        customize: { file: customize },
      },
      build: async (directory, { run, step }) => {
        requireSpace();
        const { suite, packages } = DATABASES[options.database];
        const included = [...PACKAGES, ...packages, ...options.packages];
        const tar = resolve(directory, 'rootfs.tar');
        step.detail('downloading and installing packages');
        await run(await debootstrapCommand(suite, included, customize, tar));
        step.detail('making the disk');
        await run([...asDiskOwner(), 'sh', '-euc', MAKE_DISK, 'sh', directory]);
      },
    },
    progress,
  );
}

async function debootstrapCommand(
  suite: string,
  packages: string[],
  customize: string,
  tar: string,
): Promise<string[]> {
  const lines = sourceLines(await hostMirrors(), [suite], archiveKeyring());
  return [
    'mmdebstrap',
    '--variant=minbase',
    '--mode=auto',
    `--include=${packages.join(',')}`,
    '--aptopt=Apt::Install-Recommends "false"',
    ...LEFT_OUT.map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
    // As text, because in a user namespace the tree may not be readable.
    `--customize-hook=${readFileSync(inTree(customize), 'utf8')}`,
    suite,
    tar,
    ...lines,
  ];
}

/** Without root, files of the disk belong to the user ids of a namespace; its root is this user. */
function asDiskOwner(): string[] {
  if (process.getuid?.() === 0) return [];
  return ['unshare', '--user', '--map-root-user', '--map-auto', '--'];
}

/** `mke2fs -d` needs no loop device. No reserved blocks, and inode tables written now instead of at first mount. */
const MAKE_DISK = `
cd "$1"
mkdir root
tar --extract --file=rootfs.tar --directory=root --numeric-owner --same-permissions --exclude='./dev/*'
mke2fs -q -t ext4 -L ${DISK_LABEL} -m 0 -E lazy_itable_init=0,lazy_journal_init=0 -O ^metadata_csum_seed \\
  -d root ${DISK_FILE} ${DISK_MIB}M
rm -rf root rootfs.tar
`;
