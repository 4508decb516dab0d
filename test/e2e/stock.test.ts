/**
 * Debian's own kernel package on both machines, with virtio: a stock e1000e is not reliable
 * (docs/results/notes.md).
 */
import t from 'tap';
import { checkReport, DOWNTIME_MS_MAX, runDemo } from './support.ts';

// A migration takes what it takes; the runner has the limit.
t.setTimeout(0);

t.test('a host with an unpatched kernel moves', async (t) => {
  const run = await runDemo(['--kernel', 'stock', '--nic', 'virtio']);
  t.equal(run.code, 0, run.output);
  const [report] = run.file.moves;
  t.ok(report, 'there is a report');
  if (report === undefined) return;
  checkReport(t, report, 'full', DOWNTIME_MS_MAX.stock);
  t.match(report.environment.kernel, /deb\d+-amd64 \(stock\)/);
  t.notOk(
    report.phases.some((phase) => phase.name === 'copy'),
    'an unpatched kernel stamps no step',
  );
});
