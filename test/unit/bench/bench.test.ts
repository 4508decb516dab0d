import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, resolve } from 'node:path';
import t from 'tap';
import { decide } from '../../../images/lab/bench/emulator.ts';
import { type EngineName, movedBy } from '../../../images/lab/bench/engines/engine.ts';
import { exportTo, requireFolder } from '../../../images/lab/bench/export.ts';
import { parseOptions } from '../../../images/lab/bench/options.ts';
import { renderPage } from '../../../images/lab/bench/page.ts';
import {
  casesOf,
  type Plan,
  remaining,
  requireSameMachine,
} from '../../../images/lab/bench/plan.ts';
import { picturesOf } from '../../../images/lab/bench/plots.ts';
import { readRuns, writeRuns } from '../../../images/lab/bench/results.ts';
import { secondWorst, summarise } from '../../../images/lab/bench/summary.ts';
import { drawMarkdown, drawTable } from '../../../images/lab/bench/table.ts';
import { settledAt } from '../../../images/lab/demo/migrate.ts';
import type { Report } from '../../../images/lab/demo/report/schema.ts';
import { failuresOf } from '../../../images/lab/demo/verdict.ts';
import { versionIn } from '../../../images/lab/emulator.ts';
import { refusedReport, sampleReport } from '../demo/sample.ts';

const PLAN: Plan = {
  engines: ['full', 'delta', 'hypervisor'],
  runs: 2,
  memory_mib: [2048],
  loads: ['light'],
  fill_percent: [0],
  change_mib_per_s: [0],
};

function ran(
  engine: EngineName,
  client: number,
  memory_mib = 2048,
  more: Partial<Report['environment']> = {},
): Report {
  const sample = sampleReport();
  return {
    ...sample,
    engine,
    downtime_ms: { ...sample.downtime_ms, client },
    environment: { ...sample.environment, memory_mib, ...more },
  };
}

t.test('engines take turns, and none always comes first', async (t) => {
  const cases = casesOf(PLAN).map(({ engine, run }) => `${engine} ${run}`);
  t.strictSame(cases, ['full 1', 'delta 1', 'hypervisor 1', 'delta 2', 'hypervisor 2', 'full 2']);
});

t.test('what has been run is not run again, whether it held or not', async (t) => {
  const done = [ran('full', 3000), { ...refusedReport(), engine: 'delta' }];
  const left = remaining(PLAN, done).map(({ engine, run }) => `${engine} ${run}`);
  t.strictSame(left, ['hypervisor 1', 'delta 2', 'hypervisor 2', 'full 2']);
  t.equal(remaining({ ...PLAN, memory_mib: [8192] }, done).length, 6, 'another machine');
  t.strictSame(remaining({ ...PLAN, runs: 1, engines: ['full'] }, done), []);
});

t.test(
  'each setting of memory, load, what is held and what changes is one of its own',
  async (t) => {
    const plan: Plan = {
      ...PLAN,
      engines: ['delta'],
      runs: 1,
      memory_mib: [2048, 8192],
      fill_percent: [0, 75],
      change_mib_per_s: [0, 20],
    };
    t.equal(casesOf(plan).length, 8);
    const done = [ran('delta', 500, 8192, { fill_percent: 75, change_mib_per_s: 20 })];
    const left = remaining(plan, done);
    t.equal(left.length, 7);
    t.notOk(
      left.some(
        ({ memory_mib, fill_percent, change_mib_per_s }) =>
          memory_mib === 8192 && fill_percent === 75 && change_mib_per_s === 20,
      ),
    );
    const both = [
      ran('hypervisor', 200),
      ran('delta', 500),
      ran('delta', 900, 2048, { fill_percent: 75 }),
    ];
    t.strictSame(
      summarise(both).map(({ fill_percent, to_hypervisor }) => [fill_percent, to_hypervisor]),
      [
        [0, 2.5],
        [0, 1],
        [75, null],
      ],
      'nothing is compared with another setting',
    );
  },
);

t.test('ratios, medians and the second-worst', async (t) => {
  const reports = [
    ...[190, 200, 210, 900].map((ms) => ran('hypervisor', ms)),
    ...[500, 400, 2000, 450].map((ms) => ran('delta', ms)),
    ran('full', 4100),
    ran('full', 9000, 8192),
    { ...ran('delta', 60_000), ok: false },
  ];
  const found = summarise(reports);
  t.strictSame(
    found.map(({ memory_mib, engine }) => `${memory_mib} ${engine}`),
    ['2048 full', '2048 delta', '2048 hypervisor', '8192 full'],
  );
  const [full, delta, hypervisor, large] = found;
  t.match(delta, { runs: 5, held: 4, client_ms: 475, client_second_worst_ms: 500 });
  t.equal(delta?.to_hypervisor, 475 / 205);
  t.equal(delta?.to_full, 475 / 4100);
  t.equal(delta?.second_worst_to_hypervisor, 500 / 210);
  t.match(hypervisor, { to_hypervisor: 1, to_full: 205 / 4100 });
  t.match(full, { to_full: 1, to_hypervisor: 20 });
  t.match(large, { to_full: 1, to_hypervisor: null }, 'only the same machine is compared');
  t.equal(secondWorst([]), null);
  t.equal(secondWorst([5]), 5);
});

t.test('tables say what was not measured with nothing', async (t) => {
  const text = drawTable(summarise([ran('full', 4100)]));
  t.match(text, /^load\s+memory\s+engine/);
  t.match(text, /light\s+2048 MiB\s+full\s+1\.00 x\s+4\.10 s/);
  t.match(drawMarkdown(summarise([ran('full', 4100)])), '| light | 2048 MiB | full |  | 1.00 x |');
});

t.test('a passage without an orchestrator is a report like any other', async (t) => {
  const moved = movedBy({
    engine: 'hypervisor',
    begin_ns: 1_000_000_000n,
    stopped_ns: 3_000_000_000n,
    end_ns: 3_100_000_000n,
    window_ms: 44,
    spans: [{ name: 'switch', side: 'target', begin_ns: 3_000_000_000n, end_ns: 3_044_000_000n }],
    memory_bytes: 2 ** 31,
    sent_bytes: 255_000_000,
  });
  t.strictSame(moved.report.phases, [
    { name: 'switch', side: 'target', start_ms: 0, duration_ms: 44 },
  ]);
  t.equal(moved.zero_ns, 3_000_000_000n);
  t.equal(settledAt(moved), moved.end_ns);
});

t.test('what a shutdown cannot keep does not count against it', async (t) => {
  const sample = sampleReport();
  const booted: Report = {
    ...sample,
    client: { ...sample.client, connection_survived: null },
    verification: {
      ...sample.verification,
      memory: null,
      file: null,
      continued: null,
      services: null,
    },
  };
  t.strictSame(failuresOf(booted), []);
  t.match(failuresOf({ ...booted, client: { ...booted.client, lost: 3 } }), [/3 acknowledged/]);
});

t.test('the page has the figures, the pictures and what did not hold', async (t) => {
  const rate = { from_ms: -5000, step_ms: 250, commits: Array.from({ length: 40 }, (_, i) => i) };
  const measured = (report: Report): Report => ({
    ...report,
    client: { ...report.client, throughput: rate },
  });
  const reports = [
    measured(ran('delta', 500)),
    measured(ran('hypervisor', 200)),
    ran('delta', 700, 8192),
    ran('delta', 900, 8192, { fill_percent: 75 }),
    ran('delta', 800, 2048, { change_mib_per_s: 50 }),
    { ...refusedReport(), engine: 'full' },
  ];
  const titles = picturesOf(reports).map(({ title }) => title);
  t.strictSame(titles, [
    'Downtime by engine',
    'What the window is made of',
    "The client's throughput",
    'Downtime against memory',
    'Downtime against change rate',
    'The window against what changed',
  ]);
  const page = renderPage(reports);
  t.match(page, '2.5 times as long as a hypervisor');
  t.match(page, '8192 MiB, 75 % held');
  t.match(page, '2048 MiB, 50 MiB/s changed');
  t.match(page, 'kernel-mismatch: 6.12.107-1 and 6.12.110-1');
  t.equal(page.split('<svg').length - 1 >= titles.length, true);
  t.notMatch(page, /<script|https?:\/\/(?!www\.w3\.org)/, 'nothing is loaded from elsewhere');
  t.strictSame(picturesOf([]), [], 'nothing to be seen');
  t.match(renderPage([]), 'Nothing has been run');
});

t.test('a folder that cannot be written to is refused before anything runs', async (t) => {
  const directory = t.testdir({ file: '' });
  requireFolder(null);
  requireFolder(resolve(directory, 'new/deeper'));
  requireFolder(resolve(directory, 'new/deeper'));
  for (const folder of ['/proc/nothing', resolve(directory, 'file/below'), '/dev/null/x']) {
    t.throws(() => requireFolder(folder), { code: 'bad-request', message: /--export/ }, folder);
  }
});

t.test('the table and each picture go into files of their own', async (t) => {
  const directory = t.testdir();
  const reports = [ran('delta', 500), ran('hypervisor', 200), ran('delta', 900, 8192)];
  const names = exportTo(directory, reports).map((path) => basename(path));
  t.strictSame(names, [
    'downtime-by-engine.svg',
    'what-the-window-is-made-of.svg',
    'downtime-against-memory.svg',
    'the-window-against-what-changed.svg',
    'table.md',
  ]);
  for (const name of names.slice(0, -1)) {
    const svg = readFileSync(resolve(directory, name), 'utf8');
    t.match(svg, /^<svg[^>]* xmlns="[^>]*><title>[^<]+<\/title><rect/, name);
    t.notMatch(svg, /<(figure|div|swatch)/, 'nothing but a picture');
    t.equal(svg.split('<svg').length, 2, 'one element');
  }
  const window = readFileSync(resolve(directory, 'what-the-window-is-made-of.svg'), 'utf8');
  t.match(window, /aria-label="legend".*<text[^>]*>send<\/text>/, 'which colour is which');
  t.match(readFileSync(resolve(directory, 'table.md'), 'utf8'), '| light | 2048 MiB | delta |');
});

t.test('the file is read as it was written, and a wrong one is refused', async (t) => {
  const directory = mkdtempSync(resolve(tmpdir(), 'pmsm-bench-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = resolve(directory, 'runs.json');
  t.strictSame(readRuns(file), []);
  writeRuns(file, [sampleReport(), refusedReport()]);
  t.strictSame(readRuns(file), [sampleReport(), refusedReport()]);
  writeFileSync(file, '{"version":2,"runs":[]}');
  t.throws(() => readRuns(file), { code: 'bad-request' });
});

t.test('a bench does not go on with the runs of another machine', async (t) => {
  const { lab } = parseOptions(['--nic', 'e1000e']);
  const done = [ran('delta', 500, 2048, { nic: 'e1000e', emulator: '10.0.13' })];
  requireSameMachine(done, lab, '10.0.13');
  requireSameMachine([], lab, '7.2.22');
  const refused = (message: RegExp) => ({ code: 'bad-request', message });
  t.throws(() => requireSameMachine(done, lab, '7.2.22'), refused(/emulator: 10.0.13, not 7.2.22/));
  t.throws(
    () => requireSameMachine(done, { ...lab, nic: 'virtio', cpus: 2 }, '10.0.13'),
    refused(/nic: e1000e, not virtio, cpus: 1, not 2/),
  );
});

t.test('a QEMU that loses memory in a migration is not the yardstick', async (t) => {
  const notes: string[] = [];
  const progress = { note: (text: string) => void notes.push(text) };
  const choose = (engines: EngineName[], version: string, which?: 'installed' | 'stable') =>
    decide({ engines, emulator: which ?? null }, { version }, progress);
  t.equal(choose(['delta', 'hypervisor'], '10.0.13'), 'installed');
  t.equal(choose(['delta'], '7.2.22'), 'installed');
  t.equal(choose(['delta'], '7.2.22', 'stable'), 'stable');
  t.equal(choose(['delta'], '7.2.22', 'installed'), 'installed');
  t.strictSame(notes, []);
  t.equal(choose(['delta', 'hypervisor'], '8.2.4'), 'stable');
  t.match(notes, [/QEMU 8.2.4 loses memory/]);
  t.throws(() => choose(['hypervisor'], '7.2.22', 'installed'), { code: 'bad-request' });
  t.equal(choose(['hypervisor'], 'unknown'), 'stable');
  t.equal(versionIn('QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)'), '10.0.13');
  t.equal(versionIn('QEMU emulator version 9.1'), '9.1');
});

t.test('the command line', async (t) => {
  t.match(parseOptions([]), {
    engines: ['cold', 'swap', 'full', 'delta', 'hypervisor'],
    runs: 5,
    memory_mib: [2048],
    loads: ['light'],
    fill_percent: [0],
    change_mib_per_s: [0],
    lab: { nic: 'virtio', disk: 'ahci', cpus: 1 },
    emulator: null,
    json: null,
    resume: false,
    export: null,
  });
  t.match(
    parseOptions(
      [
        '--engines delta,full --runs 20 --memory 2048,8192 --load light,oltp --cpus 2',
        '--nic e1000e --disk virtio --json f --resume --fill 0,75 --change 0,50',
      ].flatMap((words) => words.split(' ')),
    ),
    {
      engines: ['delta', 'full'],
      runs: 20,
      memory_mib: [2048, 8192],
      loads: ['light', 'oltp'],
      fill_percent: [0, 75],
      change_mib_per_s: [0, 50],
      lab: { nic: 'e1000e', disk: 'virtio', cpus: 2 },
      json: 'f',
      resume: true,
    },
  );
  for (const words of [
    ['--engines', 'warm'],
    ['--engines', ''],
    ['--engines', 'full,full'],
    ['--runs', '0'],
    ['--memory', '1'],
    ['--memory', '2048,much'],
    ['--load', 'heavy'],
    ['--disk', 'nvme'],
    ['--fill', '95'],
    ['--fill', '70', '--engines', 'swap,delta'],
    ['--fill', ''],
    ['--change', 'much'],
  ]) {
    t.throws(() => parseOptions(words), Error, words.join(' '));
  }
});
