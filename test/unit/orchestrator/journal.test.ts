import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { FileStore, REWRITE_BYTES } from '../../../orchestrator/store/file-store.ts';
import {
  JOURNAL_NAME,
  Journal,
  type JournalFile,
  openJournal,
} from '../../../orchestrator/store/journal.ts';
import type { Line } from '../../../orchestrator/store/record.ts';
import { transition } from '../../../orchestrator/workflow/state.ts';
import { newRecord } from './records.ts';

const line = (value: number): Line => ({ kind: 'generation', value });

/** A file in memory on a disk that a test can fill and break. */
class FakeFile implements JournalFile {
  data = Buffer.alloc(0);
  durable_bytes = 0;
  capacity_bytes = Number.POSITIVE_INFINITY;
  sync_error: Error | undefined;
  syncs = 0;

  async write(data: Uint8Array, position: number): Promise<number> {
    const room = this.capacity_bytes - position;
    if (room <= 0) throw Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' });
    const taken = data.subarray(0, Math.min(data.length, room));
    this.data = Buffer.concat([this.data.subarray(0, position), taken]);
    return taken.length;
  }

  async datasync(): Promise<void> {
    this.syncs++;
    if (this.sync_error) throw this.sync_error;
    this.durable_bytes = this.data.length;
  }

  async truncate(bytes: number): Promise<void> {
    this.data = this.data.subarray(0, bytes);
  }

  async close(): Promise<void> {
    // Nothing to give back.
  }
}

t.test('append resolves when the line is durable, and not before', async (t) => {
  const file = new FakeFile();
  const journal = new Journal(file, 0);
  await journal.append(line(1));
  t.equal(file.data.toString(), '{"kind":"generation","value":1}\n');
  t.equal(file.durable_bytes, file.data.length);
  journal.note(line(2));
  await journal.close();
  t.match(file.data.toString(), /"value":2\}\n$/, 'a note is written, without its own sync');
  t.equal(file.syncs, 1);
});

t.test('lines that come while the disk is busy share one sync', async (t) => {
  const file = new FakeFile();
  const journal = new Journal(file, 0);
  await Promise.all(Array.from({ length: 50 }, (_, i) => journal.append(line(i))));
  t.ok(file.syncs <= 2, `${file.syncs} syncs`);
  t.equal(file.data.toString().split('\n').length, 51);
});

t.test('a full disk leaves no half line behind, and goes on once there is space', async (t) => {
  const file = new FakeFile();
  const journal = new Journal(file, 0);
  await journal.append(line(1));
  const good = file.data.length;
  file.capacity_bytes = good + 10;
  await t.rejects(journal.append(line(2)), { code: 'no-space' });
  t.equal(file.data.length, good);
  file.capacity_bytes = Number.POSITIVE_INFINITY;
  await journal.append(line(3));
  t.match(file.data.toString(), /^\{.*1\}\n\{.*3\}\n$/);
});

t.test('after a failed sync nothing is taken any more', async (t) => {
  const file = new FakeFile();
  const journal = new Journal(file, 0);
  file.sync_error = Object.assign(new Error('EIO'), { code: 'EIO' });
  await t.rejects(journal.append(line(1)), { code: 'record-failed' });
  t.equal(file.data.length, 0, 'what was refused is not found by the next start');
  file.sync_error = undefined;
  await t.rejects(journal.append(line(2)), { code: 'record-failed' });
});

t.test('a torn end is cut', async (t) => {
  const directory = t.testdir();
  const path = join(directory, JOURNAL_NAME);
  const first = await openJournal(directory);
  await first.journal.append(line(1));
  await first.journal.append(line(2));
  await first.journal.close();
  const good = statSync(path).size;
  for (const torn of ['{"kind":"gener', '\0\0\0\0', '{"kind":"nonsense"}\n', '\0'.repeat(90)]) {
    appendFileSync(path, torn);
    const { journal, lines, cut_bytes } = await openJournal(directory);
    t.strictSame(lines, [line(1), line(2)]);
    t.equal(cut_bytes, torn.length);
    await journal.close();
    t.equal(statSync(path).size, good);
  }
});

t.test('damage in the middle is not passed over', async (t) => {
  const directory = t.testdir();
  writeFileSync(
    join(directory, JOURNAL_NAME),
    `${JSON.stringify(line(1))}\nXX\n${JSON.stringify(line(3))}\n`,
  );
  await t.rejects(openJournal(directory), { code: 'internal', detail: /line 2/ });
});

t.test('a state directory belongs to one process', async (t) => {
  const directory = t.testdir();
  const store = await FileStore.open(directory);
  await t.rejects(FileStore.open(directory), { code: 'conflict' });
  await store.close();
  const again = await FileStore.open(directory);
  await again.close();
});

t.test('a state directory that cannot be had is said so', async (t) => {
  const directory = t.testdir({ file: 'x' });
  await t.rejects(FileStore.open(join(directory, 'file', 'state')), {
    code: 'bad-request',
    detail: /state_dir/,
  });
});

t.test('what was stored is there after a restart, and generations go on', async (t) => {
  const directory = t.testdir();
  const store = await FileStore.open(directory);
  const first = await store.create(newRecord());
  await transition(store, first.id, 'planned', 'preparing');
  store.addEvent(first.id, {
    sequence: 1,
    at: new Date().toISOString(),
    elapsed_ms: 0,
    kind: 'note',
    data: { x: 1 },
  });
  const second = await store.create(newRecord());
  await store.close();
  t.equal(second.generation, first.generation + 1);

  const again = await FileStore.open(directory);
  t.teardown(() => again.close());
  t.match(again.get(first.id), { state: 'preparing', version: 2 });
  t.equal(again.events(first.id).length, 1);
  t.strictSame(
    again.list().map(({ id }) => id),
    [second.id, first.id],
    'newest first',
  );
  t.equal((await again.create(newRecord())).generation, second.generation + 1);
});

t.test('a long journal is shortened; what is open stays, generations too', async (t) => {
  const directory = t.testdir();
  const store = await FileStore.open(directory);
  const open = await store.create(newRecord());
  await store.close();
  const path = join(directory, JOURNAL_NAME);
  const ended = { state: 'refused', ended_at: new Date().toISOString() };
  const migration = { ...newRecord(), generation: 2, version: 1, ...ended };
  const filler = `${JSON.stringify({ kind: 'migration', migration })}\n`;
  const lines: string[] = [];
  for (let bytes = 0; bytes < REWRITE_BYTES; bytes += filler.length) {
    const id = lines.length.toString(16).padStart(32, '0');
    lines.push(filler.replace(/"id":"[0-9a-f]{32}"/, `"id":"${id}"`));
  }
  appendFileSync(path, lines.join(''));
  const again = await FileStore.open(directory);
  t.teardown(() => again.close());
  t.ok(statSync(path).size < REWRITE_BYTES / 10);
  t.match(again.get(open.id), { state: 'planned' });
  t.equal(again.list().length, 201);
  t.equal((await again.create(newRecord())).generation, 3);
});

t.test('kill -9: every record that was acknowledged is there', async (t) => {
  const directory = t.testdir();
  const program = `
    import { FileStore } from ${JSON.stringify(resolve('orchestrator/store/file-store.ts'))};
    import { newRecord } from ${JSON.stringify(resolve('test/unit/orchestrator/records.ts'))};
    const store = await FileStore.open(${JSON.stringify(directory)});
    for (;;) {
      const { id } = await store.create(newRecord());
      process.stdout.write(id + '\\n');
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const acknowledged: string[] = [];
  for await (const id of createInterface({ input: child.stdout })) {
    acknowledged.push(id);
    if (acknowledged.length === 40) child.kill('SIGKILL');
  }
  if (child.signalCode === null && child.exitCode === null) await once(child, 'exit');
  t.equal(child.signalCode, 'SIGKILL');
  const store = await FileStore.open(directory);
  t.teardown(() => store.close());
  t.ok(acknowledged.length >= 40);
  t.strictSame(
    acknowledged.filter((id) => !store.get(id)),
    [],
  );
  t.match(readFileSync(join(directory, JOURNAL_NAME), 'utf8'), /\n$/);
});
