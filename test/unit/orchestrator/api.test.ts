import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import t, { type Test } from 'tap';
import { makeApp } from '../../../orchestrator/api/app.ts';
import { parseConfig, readConfig } from '../../../orchestrator/config.ts';
import { requestJson } from '../../../orchestrator/http/request.ts';
import { startOrchestrator } from '../../../orchestrator/service.ts';
import { type Behaviour, eventually, type Lab, makeConfig, silentLog, startLab } from './fakes.ts';

async function start(
  t: Test,
  behaviour: Behaviour = {},
): Promise<{ lab: Lab; app: FastifyInstance }> {
  const lab = await startLab(t.testdir(), behaviour);
  const app = await makeApp(lab.service);
  t.teardown(async () => {
    await app.close();
    await lab.close();
  });
  return { lab, app };
}

const BODY = { source: 'node1', target: 'node2' };

t.test('a migration by REST', async (t) => {
  const { lab, app } = await start(t);
  const created = await app.inject({ method: 'POST', url: '/v1/migrations', payload: BODY });
  t.equal(created.statusCode, 202);
  const { id } = created.json();
  t.equal(created.headers.location, `/v1/migrations/${id}`);
  t.match(created.json(), { engine: 'auto', options: { codec: 'auto', stall_ms: 2000 } });
  await lab.service.workflow.settled();

  const one = await app.inject(`/v1/migrations/${id}`);
  t.match(one.json(), { id, state: 'moved', outcome: 'moved', owner: 'target', phase: null });
  const list = await app.inject('/v1/migrations?limit=1');
  t.match(list.json(), { migrations: [{ id }] });
  const report = await app.inject(`/v1/migrations/${id}/report`);
  t.match(report.json(), { ok: true, client: null, verification: null, environment: null });
  const health = await app.inject('/healthz');
  t.strictSame(health.json(), { ok: true, running: 0 });
});

t.test('the event stream', async (t) => {
  const { lab, app } = await start(t);
  const { id } = (
    await app.inject({ method: 'POST', url: '/v1/migrations', payload: BODY })
  ).json();
  // Asked for while it runs: ends with the migration.
  const live = await app.inject(`/v1/migrations/${id}/events`);
  t.equal(live.headers['content-type'], 'text/event-stream');
  const frames = live.body.split('\n\n').filter((frame) => frame.startsWith('id: '));
  const numbers = frames.map((frame) => Number(/^id: (\d+)/.exec(frame)?.[1]));
  t.strictSame(
    numbers,
    Array.from(numbers, (_, i) => i + 1),
    'without a gap, from the first',
  );
  t.match(frames.at(-1), /event: end\n/);
  await lab.service.workflow.settled();

  const rest = await app.inject({
    url: `/v1/migrations/${id}/events`,
    headers: { 'last-event-id': String(numbers.length - 2) },
  });
  t.strictSame(rest.body.match(/^id: \d+/gm), [
    `id: ${numbers.length - 1}`,
    `id: ${numbers.length}`,
  ]);
});

t.test('cancel', async (t) => {
  const { lab, app } = await start(t, { source: { freeze: 'silent' } });
  const { id } = (
    await app.inject({ method: 'POST', url: '/v1/migrations', payload: BODY })
  ).json();
  await eventually(() => lab.world.ordered('freeze'));
  const running = await app.inject(`/v1/migrations/${id}`);
  t.match(running.json(), { state: 'frozen', phase: 'quarantine', outcome: null });
  t.equal((await app.inject(`/v1/migrations/${id}/report`)).statusCode, 404);
  const second = await app.inject({ method: 'POST', url: '/v1/migrations', payload: BODY });
  t.equal(second.statusCode, 409);
  t.match(second.json(), { code: 'conflict' });
  t.match((await app.inject('/v1/hosts')).json(), {
    hosts: [{ name: 'node1', state: 'busy', facts: null }, { name: 'node2' }],
  });

  const url = `/v1/migrations/${id}/cancel`;
  t.equal((await app.inject({ method: 'POST', url })).statusCode, 202);
  await lab.service.workflow.settled();
  const late = await app.inject({ method: 'POST', url });
  t.equal(late.statusCode, 409);
  t.match(late.json(), { code: 'cannot-cancel' });
});

t.test('hosts and preflight', async (t) => {
  const finding = {
    code: 'would-not-freeze' as const,
    severity: 'refuse' as const,
    found: 'x',
    why: 'y',
    remedy: 'z',
  };
  const { lab, app } = await start(t, { findings: [finding] });
  t.match((await app.inject('/v1/hosts')).json(), {
    hosts: [
      { name: 'node1', state: 'running', facts: { cpus: 1 } },
      { name: 'node2', state: 'standby', facts: { total_bytes: 2_147_483_648 } },
    ],
  });
  const check = await app.inject({ method: 'POST', url: '/v1/preflight', payload: BODY });
  t.equal(check.statusCode, 200);
  t.match(check.json(), { ok: false, source: 'node1', target: 'node2' });
  t.strictSame(check.json().findings.at(-1), finding);
  t.strictSame(lab.world.orders, [], 'nobody was told anything');
  lab.world.standby?.close();
  await eventually(() => lab.service.site.registry.standby('node2') === undefined);
  const gone = await app.inject({ method: 'POST', url: '/v1/preflight', payload: BODY });
  t.match(gone.json(), { code: 'target-not-standby', status: 409 });
});

t.test('errors are problem documents', async (t) => {
  const { app } = await start(t);
  const cases: Array<[request: string | object, status: number, code: string]> = [
    ['/v1/nothing', 404, 'not-found'],
    [{ method: 'DELETE', url: '/v1/migrations' }, 405, 'bad-request'],
    [{ method: 'PUT', url: `/v1/migrations/${'a'.repeat(32)}` }, 405, 'bad-request'],
    [`/v1/migrations/${'a'.repeat(32)}`, 404, 'unknown-migration'],
    ['/v1/migrations/x', 400, 'bad-request'],
    ['/v1/migrations?limit=0', 400, 'bad-request'],
    ['/v1/migrations?limit=100000', 400, 'bad-request'],
    [{ method: 'POST', url: '/v1/migrations', payload: {} }, 400, 'bad-request'],
    [{ method: 'POST', url: '/v1/migrations', payload: { ...BODY, x: 1 } }, 400, 'bad-request'],
    [
      { method: 'POST', url: '/v1/migrations', payload: { ...BODY, engine: 'x' } },
      400,
      'bad-request',
    ],
    [
      { method: 'POST', url: '/v1/migrations', payload: { ...BODY, options: { stall_ms: 1 } } },
      400,
      'bad-request',
    ],
    [
      { method: 'POST', url: '/v1/migrations', payload: { ...BODY, source: 'nobody' } },
      404,
      'unknown-host',
    ],
    [
      { method: 'POST', url: '/v1/migrations', payload: { ...BODY, target: 'node1' } },
      400,
      'same-machine',
    ],
    [
      {
        method: 'POST',
        url: '/v1/migrations',
        payload: '{',
        headers: { 'content-type': 'application/json' },
      },
      400,
      'bad-request',
    ],
    [
      {
        method: 'POST',
        url: '/v1/migrations',
        payload: `"${'x'.repeat(100_000)}"`,
        headers: { 'content-type': 'application/json' },
      },
      413,
      'bad-request',
    ],
    [
      {
        method: 'POST',
        url: '/v1/migrations',
        payload: '<a/>',
        headers: { 'content-type': 'text/xml' },
      },
      415,
      'bad-request',
    ],
  ];
  for (const [request, status, code] of cases) {
    const answer = await app.inject(request as never);
    const problem = answer.json();
    t.equal(answer.statusCode, status, JSON.stringify(request).slice(0, 80));
    t.equal(answer.headers['content-type'], 'application/problem+json');
    t.match(problem, { status, code, title: String, detail: String, remedy: String, type: String });
  }
  const wrong = await app.inject({ method: 'DELETE', url: '/v1/migrations' });
  t.match(wrong.headers.allow, /GET/);
});

t.test('the unix socket', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'pmsm-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const socketPath = join(directory, 'o.sock');
  const config = makeConfig(t.testdir());
  config.listen.socket_path = socketPath;
  // A socket that was left behind by a killed process.
  const left = createServer().listen(socketPath);
  await once(left, 'listening');

  await t.rejects(startOrchestrator(config, silentLog), { code: 'port-taken' });
  left.close();
  await once(left, 'close');

  const orchestrator = await startOrchestrator(config, silentLog);
  const answer = await requestJson(
    { socketPath },
    { method: 'GET', path: '/healthz', timeout_ms: 5000 },
  );
  t.match(answer, { status: 200, body: { ok: true } });
  await orchestrator.close();
});

t.test('a port that is taken: nothing is left running', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.teardown(() => other.close());
  const address = other.address();
  const config = makeConfig(t.testdir());
  config.listen.port = typeof address === 'object' && address ? address.port : 0;
  await t.rejects(startOrchestrator(config, silentLog), {
    code: 'port-taken',
    detail: `127.0.0.1:${config.listen.port}`,
  });
  config.listen.port = 0;
  const orchestrator = await startOrchestrator(config, silentLog);
  await orchestrator.close();
});

t.test('configuration', async (t) => {
  const good = { machines: [{ name: 'a', address: '10.0.0.1' }], state_dir: '/x' };
  t.match(parseConfig(good, 'x'), {
    machines: [{ prefix: 24, agent_port: 7073 }],
    listen: { host: '127.0.0.1', port: 7070 },
    control: { host: '0.0.0.0', port: 7071 },
    stream_port: 7072,
    release_action: 'power_off',
  });
  const twice = [...good.machines, ...good.machines];
  const cases: unknown[] = [
    {},
    { ...good, machines: [{ name: 'a b', address: '10.0.0.1' }] },
    { ...good, machines: [{ name: 'a', address: 'x' }] },
    { ...good, machines: twice },
    { ...good, machines: [{ name: 'a', address: '10.0.0.1', fence: { command: [] } }] },
    { ...good, unknown: 1 },
    { ...good, listen: { port: 70_000 } },
  ];
  for (const value of cases) t.throws(() => parseConfig(value, 'x'), { code: 'bad-request' });
  t.throws(() => readConfig('/nonexistent/file'), { code: 'bad-request' });
});
