/** What each matrix runs, and what it must hold. */

/** What a client, and the machine itself, may see in a run. */
export interface RunLimits {
  readonly median_ms?: number;
  readonly longest_ms?: number;
  readonly window_median_ms?: number;
  /** The client's rate in the rounds, as a part of the rate before. */
  readonly precopy_rate_min?: number;
}

export interface Run {
  readonly name: string;
  readonly words: readonly string[];
  readonly times?: number;
  readonly limits?: RunLimits;
}

export interface Matrix {
  readonly title: string;
  /** Of its page in docs/results/. */
  readonly file: string;
  readonly runs: readonly Run[];
}

const FULL = ['--engine', 'full'];
const DELTA = ['--engine', 'delta'];
const DELTA_VIRTIO = ['--engine', 'delta', '--nic', 'virtio'];
/** It does everything ten times as slowly: what the window may last, and how long nothing may move in it. */
const DEBUG = ['--kernel', 'debug', '--downtime-limit', '60000', '--stall-ms', '20000'];
const FULL_LIMITS = { median_ms: 5000, longest_ms: 7000 };
const STOCK_LIMITS = { median_ms: 9000, longest_ms: 9000 };
const DELTA_LIMITS = { median_ms: 900, window_median_ms: 650 };

const FIRST_MIGRATION: Matrix = {
  title: 'First migration: results',
  file: 'first-migration.md',
  runs: [
    { name: 'default', words: FULL, times: 5, limits: FULL_LIMITS },
    { name: 'there and back, ten moves', words: [...FULL, '--moves', '10'] },
    { name: 'two CPUs', words: [...FULL, '--cpus', '2'] },
    { name: '1 GiB', words: [...FULL, '--memory', '1024'] },
    { name: '4 GiB', words: [...FULL, '--memory', '4096'] },
    { name: 'NVMe', words: [...FULL, '--disk', 'nvme'] },
    { name: 'virtio', words: [...FULL, '--nic', 'virtio', '--disk', 'virtio'] },
    { name: 'sysbench', words: [...FULL, '--load', 'oltp'] },
    {
      name: 'stock kernel, virtio',
      words: ['--kernel', 'stock', '--nic', 'virtio'],
      times: 3,
      limits: STOCK_LIMITS,
    },
    { name: 'stock kernel, e1000e', words: ['--kernel', 'stock'], times: 5, limits: STOCK_LIMITS },
    { name: 'one network card', words: [...FULL, '--single-nic'] },
    { name: 'MariaDB', words: [...FULL, '--database', 'mariadb'] },
  ],
};

const DELTA_MATRIX: Matrix = {
  title: 'Delta images: results',
  file: 'delta.md',
  runs: [
    { name: 'virtio', words: DELTA_VIRTIO, times: 10, limits: DELTA_LIMITS },
    { name: 'e1000e', words: DELTA, times: 3 },
    { name: 'there and back, ten moves', words: [...DELTA_VIRTIO, '--moves', '10'] },
    {
      name: 'two CPUs',
      words: [...DELTA_VIRTIO, '--cpus', '2'],
      times: 3,
      limits: { precopy_rate_min: 0.8 },
    },
    { name: '1 GiB', words: [...DELTA_VIRTIO, '--memory', '1024'] },
    { name: '4 GiB', words: [...DELTA_VIRTIO, '--memory', '4096'] },
    { name: 'NVMe', words: [...DELTA_VIRTIO, '--disk', 'nvme'] },
    { name: 'sysbench', words: [...DELTA_VIRTIO, '--load', 'oltp'] },
    { name: 'one network card', words: [...DELTA_VIRTIO, '--single-nic'] },
    { name: 'MariaDB', words: [...DELTA_VIRTIO, '--database', 'mariadb'] },
    { name: 'kernel hardened', words: [...DELTA_VIRTIO, '--kernel', 'hardened'] },
    {
      name: 'two builds',
      words: [...DELTA_VIRTIO, '--standby-kernel', 'hardened', '--moves', '2'],
    },
    { name: 'kernel debug', words: [...DELTA_VIRTIO, ...DEBUG, '--moves', '3'] },
  ],
};

/**
 * Memory changes all the time, so more than the usual 2 s may be predicted. With two CPUs much more: both processors
 * of the emulating host are the source's then, so that the standby answers late and the link seems to carry 20 MB/s
 * instead of 160. In the window the source stands still, and it lasts 2 to 3 s.
 */
const CHURN = ['--load', 'churn', '--check', '--downtime-limit', '15000'];
const CHURN_CHECK = [...CHURN, '--moves', '5'];
const CHECKER: Matrix = {
  title: 'Every page frame compared: results',
  file: 'checker.md',
  runs: [
    { name: 'virtio', words: [...DELTA_VIRTIO, ...CHURN_CHECK] },
    { name: 'virtio, two CPUs', words: [...DELTA_VIRTIO, '--cpus', '2', ...CHURN_CHECK] },
    // Above 4 GiB there are bounce buffers, which no image has.
    { name: 'virtio, 6 GiB', words: [...DELTA_VIRTIO, '--memory', '6144', ...CHURN_CHECK] },
    { name: 'e1000e', words: [...DELTA, ...CHURN_CHECK] },
    { name: 'virtio disk', words: [...DELTA_VIRTIO, '--disk', 'virtio', ...CHURN_CHECK] },
    { name: 'full images', words: [...FULL, ...CHURN] },
  ],
};

export const MATRICES: Readonly<Record<string, Matrix>> = {
  'first-migration': FIRST_MIGRATION,
  delta: DELTA_MATRIX,
  checker: CHECKER,
};
