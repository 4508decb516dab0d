import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { parseMessage, Qmp } from '../../../images/lab/qmp.ts';

type Answer = (command: { execute: string; arguments?: object }, socket: Socket) => void;

/** QEMU as far as its protocol goes. */
async function fakeQemu(t: Test, answer: Answer): Promise<{ path: string; server: Server }> {
  // Not in t.testdir: the path of a socket has at most 107 characters.
  const directory = mkdtempSync(resolve(tmpdir(), 'qmp-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = resolve(directory, 'qmp');
  const server = createServer((socket) => {
    socket.write('{"QMP":{"version":{},"capabilities":[]}}\r\n');
    createInterface({ input: socket }).on('line', (line) => {
      const command = JSON.parse(line);
      if (command.execute === 'qmp_capabilities') socket.write('{"return":{}}\r\n');
      else answer(command, socket);
    });
    socket.on('error', () => undefined);
  });
  await new Promise<void>((done) => server.listen(path, done));
  t.teardown(() => server.close());
  return { path, server };
}

t.test('replies belong to their commands; events in between do no harm', async (t) => {
  const { path } = await fakeQemu(t, ({ execute }, socket) => {
    socket.write('{"event":"RESUME","timestamp":{"seconds":1,"microseconds":2}}\r\n');
    socket.write(
      execute === 'query-status'
        ? '{"return":{"running":true,"status":"running","singlestep":false}}\r\n'
        : '{"error":{"class":"CommandNotFound","desc":"no such command"}}\r\n',
    );
  });
  const qmp = await Qmp.connect(path, () => true);
  t.teardown(() => qmp.close());
  const [status, error] = await Promise.all([
    qmp.status(),
    qmp.command('nonsense').catch((thrown: Error) => thrown.message),
  ]);
  t.equal(status.status, 'running');
  t.equal(error, 'no such command');
});

t.test('what is not of the protocol ends the connection', async (t) => {
  const { path } = await fakeQemu(t, (_command, socket) => void socket.write('rubbish\r\n'));
  const qmp = await Qmp.connect(path, () => true);
  await t.rejects(qmp.status(), /ended/);
  t.ok(qmp.closed);
  await t.rejects(qmp.status(), /ended/);
});

t.test('a QEMU that has ended is not waited for', async (t) => {
  const path = resolve(t.testdir({}), 'absent');
  const started_ms = performance.now();
  await t.rejects(Qmp.connect(path, () => false));
  t.ok(performance.now() - started_ms < 5000);
});

t.test('a migration that fails says why', async (t) => {
  const { path } = await fakeQemu(t, (_command, socket) => {
    socket.write('{"return":{"status":"failed","error-desc":"non-migratable device"}}\r\n');
  });
  const qmp = await Qmp.connect(path, () => true);
  t.teardown(() => qmp.close());
  await t.rejects(qmp.migrated(1000), /non-migratable device/);
});

t.test('messages are checked', async (t) => {
  t.ok(parseMessage('{"return":{}}'));
  t.equal(parseMessage('{"error":"text"}'), undefined);
  t.equal(parseMessage('[]'), undefined);
  t.equal(parseMessage('{'), undefined);
});
