import { resolve } from 'node:path';
import t from 'tap';
import { putFiles, refuseComplaints } from '../../../images/disk.ts';
import { run } from '../../../images/processes.ts';

t.test('files, modes and units get onto a file system without root', async (t) => {
  const directory = t.testdir({ program: 'a program', text: 'some text', root: { etc: {} } });
  const disk = resolve(directory, 'disk');
  const at = (name: string): string => resolve(directory, name);
  await run(['mke2fs', '-q', '-t', 'ext4', '-d', at('root'), disk, '8M']);
  const files = [
    { path: '/opt/a/b/program', source: at('program'), mode: 0o755 },
    { path: '/etc/text', source: at('text') },
    { path: '/root/.ssh/authorized_keys', source: at('text'), mode: 0o600 },
  ];
  for (const _round of ['new', 'replaced']) {
    await putFiles(disk, files, ['x.service'], at('commands'));
    await run(['e2fsck', '-fn', disk]);
  }
  const ask = (question: string): Promise<string> => run(['debugfs', '-R', question, disk]);
  t.match(await ask('cat /opt/a/b/program'), 'a program');
  t.match(await ask('stat /opt/a/b/program'), /Mode: +0755/);
  t.match(await ask('stat /etc/text'), /Mode: +0644/);
  t.match(await ask('stat /etc/text'), /User: +0 +Group: +0/);
  t.match(await ask('stat /root/.ssh'), /Type: directory +Mode: +0700/);
  const unit = '/etc/systemd/system/multi-user.target.wants/x.service';
  t.match(await ask(`stat ${unit}`), /Fast link dest: "\/etc\/systemd\/system\/x.service"/);
});

t.test('what debugfs complains about is a failure', async (t) => {
  const quiet = [
    'debugfs 1.47.0 (5-Feb-2023)',
    'debugfs: mkdir /etc',
    'rm: File not found by ext2_lookup while trying to resolve filename',
    'Allocated inode: 12',
  ];
  t.doesNotThrow(() => refuseComplaints(quiet));
  const full = 'write: Could not allocate block in ext2 filesystem';
  t.throws(() => refuseComplaints([...quiet, full]), /Could not allocate/);
});
