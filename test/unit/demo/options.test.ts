import t from 'tap';
import { parseOptions } from '../../../images/lab/demo/options.ts';

t.test('the defaults are the issue of the project: a host with MySQL, one move', async (t) => {
  t.match(parseOptions([]), {
    lab: {
      memory_mib: 2048,
      cpus: 1,
      nic: 'e1000e',
      disk: 'ahci',
      kernel: 'patched',
      database: 'mysql',
      packages: [],
      single_nic: false,
      standby_memory_mib: 128,
    },
    engine: 'auto',
    load: 'light',
    moves: 1,
    json: null,
    keep: false,
  });
});

t.test('everything can be said', async (t) => {
  const words =
    '--memory 1024 --cpus 2 --nic virtio --disk nvme --database mariadb --kernel stock ' +
    '--standby-kernel hardened ' +
    '--standby-memory 160 --packages redis,nginx --single-nic --engine delta --load oltp --moves 10 --codec lz4 ' +
    '--downtime-limit 4000 --stall-ms 5000 --json - --keep --check';
  t.strictSame(parseOptions(words.split(' ')), {
    lab: {
      memory_mib: 1024,
      cpus: 2,
      nic: 'virtio',
      disk: 'nvme',
      kernel: 'stock',
      standby_kernel: 'hardened',
      standby_memory_mib: 160,
      emulator: 'installed',
      database: 'mariadb',
      packages: ['redis', 'nginx'],
      single_nic: true,
    },
    engine: 'delta',
    load: 'oltp',
    moves: 10,
    codec: 'lz4',
    downtime_limit_ms: 4000,
    stall_ms: 5000,
    json: '-',
    keep: true,
    check: true,
  });
});

t.test('a standby is small where the engine can do with it', async (t) => {
  const own_mib = (...words: string[]) => parseOptions(words).lab.standby_memory_mib;
  t.equal(own_mib('--engine', 'delta'), 128);
  t.equal(own_mib('--engine', 'delta', '--standby-memory', '0'), undefined);
  t.equal(own_mib('--engine', 'full'), undefined);
  t.equal(own_mib('--kernel', 'stock'), undefined);
  t.equal(own_mib('--kernel', 'debug'), undefined);
  t.equal(own_mib('--kernel', 'hardened'), 128);
});

t.test('nonsense is refused with a sentence', async (t) => {
  for (const words of [
    ['--memory', 'much'],
    ['--memory', '1'],
    ['--moves', '0'],
    ['--downtime-limit', '10'],
    ['--stall-ms', '1'],
    ['--nic', 'rtl8139'],
    ['--engine', 'magic'],
    ['--packages', 'a b'],
    ['--unknown'],
    ['word'],
  ]) {
    t.throws(() => parseOptions(words), { message: /./ }, words.join(' '));
  }
});
