/** NVMe resets itself on a freeze, and QEMU cannot save it: booted afresh; with virtio and two CPUs. */
import t from 'tap';
import { checkReport, DOWNTIME_MS_MAX, runDemo } from './support.ts';

// A migration takes what it takes; the runner has the limit.
t.setTimeout(0);

t.test('a host with NVMe, virtio-net and two CPUs moves', async (t) => {
  const run = await runDemo(['--disk', 'nvme', '--nic', 'virtio', '--cpus', '2']);
  t.equal(run.code, 0, run.output);
  const [report] = run.file.moves;
  t.ok(report, 'there is a report');
  if (report === undefined) return;
  checkReport(t, report, DOWNTIME_MS_MAX.patched);
  t.match(report.environment, { disk: 'nvme', nic: 'virtio', cpus: 2 });
});
