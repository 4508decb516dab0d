/**
 * NVMe resets itself on a freeze, and QEMU cannot save it: booted afresh; with virtio and two CPUs, and by the engine
 * full, which is not the default any more.
 */
import t from 'tap';
import { checkReport, DOWNTIME_MS_MAX, runDemo } from './support.ts';

// A migration takes what it takes; the runner has the limit.
t.setTimeout(0);

t.test('a host with NVMe, virtio-net and two CPUs moves', async (t) => {
  const run = await runDemo([
    '--disk',
    'nvme',
    '--nic',
    'virtio',
    '--cpus',
    '2',
    '--engine',
    'full',
  ]);
  t.equal(run.code, 0, run.output);
  const [report] = run.file.moves;
  t.ok(report, 'there is a report');
  if (report === undefined) return;
  checkReport(t, report, 'full', DOWNTIME_MS_MAX.full);
  t.match(report.environment, { disk: 'nvme', nic: 'virtio', cpus: 2 });
});
