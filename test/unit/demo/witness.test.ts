import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { askWitness, compareWitness } from '../../../images/lab/demo/verify.ts';
import { run } from '../../../images/processes.ts';

const SOURCE = resolve(import.meta.dirname, '../../../images/lab/guest/witness.c');
const START_LIMIT_MS = 20_000;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

t.test('the witness tells any change', async (t) => {
  const directory = t.testdir();
  const program = resolve(directory, 'witness');
  const file = resolve(directory, 'random');
  await run(['gcc', '-std=gnu11', '-O1', '-Wall', '-Wextra', '-Werror', '-o', program, SOURCE]);
  const port = String(await freePort());
  const server = spawn(program, ['serve', port, file], { stdio: ['ignore', 'ignore', 'inherit'] });
  t.teardown(() => server.kill('SIGKILL'));
  const ask = () => askWitness(() => run([program, 'query', port]));
  const asked = await (async () => {
    for (const deadline = performance.now() + START_LIMIT_MS; ; await sleep(50)) {
      const witness = await ask().catch(() => undefined);
      if (witness !== undefined) return witness;
      if (performance.now() > deadline) throw new Error('the witness does not answer');
    }
  })();
  t.equal(asked.pid, server.pid);
  t.equal(statSync(file).size, 64 * 1024 * 1024);

  const again = compareWitness(asked, await ask(), 60_000);
  t.strictSame(again, { memory: true, file: true, continued: true }, 'nothing changed');

  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, Buffer.from([1, 2, 3]), 0, 3, 50_000_000);
  closeSync(descriptor);
  const changed = compareWitness(asked, await ask(), 60_000);
  t.strictSame(changed, { memory: true, file: false, continued: true }, 'three bytes changed');
});

t.test('a witness that cannot run says so', async (t) => {
  const directory = t.testdir();
  const program = resolve(directory, 'witness');
  await run(['gcc', '-std=gnu11', '-O1', '-o', program, SOURCE]);
  await t.rejects(run([program]), { message: /failed \(2\)/ });
  await t.rejects(run([program, 'serve', 'x']), { message: /failed \(2\)/ });
  const nobody = String(await freePort());
  await t.rejects(run([program, 'query', nobody]), { message: /failed \(1\)/ });
});
