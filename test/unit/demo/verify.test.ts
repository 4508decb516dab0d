import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import {
  askServices,
  askWitness,
  compareWitness,
  diskIsClean,
  fsckIsClean,
  servicesWentOn,
} from '../../../images/lab/demo/verify.ts';
import type { Witness } from '../../../images/lab/guest/witness.ts';
import { run } from '../../../images/processes.ts';

const WITNESS: Witness = {
  version: 1,
  pid: 412,
  start_jiffies: 900,
  boot_id: '0b2c',
  uptime_ms: 60_000,
  memory_bytes: 67108864,
  memory_digest: '0123456789abcdef',
  file_bytes: 67108864,
  file_digest: 'fedcba9876543210',
};

t.test('a witness that went on', async (t) => {
  const after = { ...WITNESS, uptime_ms: 70_000 };
  t.strictSame(compareWitness(WITNESS, after, 10_500), {
    memory: true,
    file: true,
    continued: true,
  });
});

t.test('every difference shows', async (t) => {
  const differs = (changes: Partial<Witness>) => {
    const verdict = compareWitness(WITNESS, { ...WITNESS, ...changes }, 1000);
    return Object.entries(verdict).flatMap(([name, ok]) => (ok ? [] : name));
  };
  t.strictSame(differs({ memory_digest: 'f'.repeat(16) }), ['memory']);
  t.strictSame(differs({ file_digest: 'f'.repeat(16) }), ['file']);
  t.strictSame(differs({ pid: 413 }), ['continued']);
  t.strictSame(differs({ start_jiffies: 901 }), ['continued']);
  t.strictSame(differs({ boot_id: 'other' }), ['continued']);
  t.strictSame(differs({ uptime_ms: 59_999 }), ['continued'], 'uptime ran backwards');
  t.strictSame(differs({ uptime_ms: 600_000 }), ['continued'], 'uptime jumped');
});

t.test('a witness that read less than all is no witness', async (t) => {
  const short = JSON.stringify({ ...WITNESS, file_bytes: 4096 });
  await t.rejects(askWitness(async () => short));
  await t.rejects(askWitness(async () => ''));
  t.strictSame(await askWitness(async () => JSON.stringify(WITNESS)), WITNESS);
});

const UNITS = ['mysql', 'ssh', 'pmsm-agent', 'pmsm-witness'];

function unitsText(changes: Record<string, string> = {}): string {
  const lines = UNITS.map((name, index) => {
    const unit = { Id: `${name}.service`, ActiveState: 'active', MainPID: `${100 + index}` };
    const all = { ...unit, NRestarts: '0', ...(name === 'mysql' ? changes : {}) };
    return Object.entries(all)
      .map((pair) => pair.join('='))
      .join('\n');
  });
  return `${lines.join('\n\n')}\n`;
}

t.test('services', async (t) => {
  const host =
    (units: string, failed = '') =>
    async (command: string) =>
      command.includes('--failed') ? failed : units;
  const before = await askServices(host(unitsText()), ['mysql.service']);
  t.equal(before.length, UNITS.length);
  const wentOn = (units: string, failed?: string) =>
    servicesWentOn(host(units, failed), ['mysql.service'], before);
  t.equal(await wentOn(unitsText()), true);
  t.equal(await wentOn(unitsText({ MainPID: '300' })), false, 'restarted');
  t.equal(await wentOn(unitsText({ NRestarts: '1' })), false, 'restarted, same number');
  t.equal(await wentOn(unitsText({ ActiveState: 'failed' })), false);
  t.equal(await wentOn(''), false);
  t.equal(await wentOn(unitsText(), 'x.service loaded failed failed X'), false);
});

t.test('a service that was down before does not count as running', async (t) => {
  const text = unitsText({ ActiveState: 'activating' });
  const host = async (command: string) => (command.includes('--failed') ? '' : text);
  const before = await askServices(host, ['mysql.service']);
  t.equal(await servicesWentOn(host, ['mysql.service'], before), false);
});

async function makeDisk(directory: string): Promise<string> {
  const disk = resolve(directory, 'disk.img');
  await run(['mke2fs', '-q', '-t', 'ext4', disk, '8M']);
  return disk;
}

t.test('a disk at rest is checked, a damaged one is not clean', async (t) => {
  const directory = t.testdir();
  const log = resolve(directory, 'log');
  const disk = await makeDisk(directory);
  const place = { file: disk, offset_bytes: 0 };
  t.equal(await diskIsClean(async () => '', place, log), true);
  await run(['debugfs', '-w', '-R', 'clri <2>', disk]);
  t.equal(await fsckIsClean(place, log), false);
  t.equal(await diskIsClean(async () => '', place, log), false);
});

t.test('what is not a file system is not taken for one', async (t) => {
  const directory = t.testdir();
  const disk = resolve(directory, 'disk.img');
  writeFileSync(disk, Buffer.alloc(65_536));
  await t.rejects(
    diskIsClean(async () => '', { file: disk, offset_bytes: 0 }, resolve(directory, 'log')),
    { code: 'lab-failed' },
  );
});
