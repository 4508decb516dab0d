import { existsSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { PmsmError, toPmsmError } from '../agent/wire/errors.ts';
import { AgentClient } from './agent-client.ts';
import { makeApp } from './api/app.ts';
import type { Config } from './config.ts';
import { Registry, type Standby } from './control/registry.ts';
import { ControlServer } from './control/server.ts';
import { fence } from './fence/fence.ts';
import { toListenError } from './listen.ts';
import { FileStore } from './store/file-store.ts';
import type { Store } from './store/store.ts';
import { answerClaim } from './workflow/claim.ts';
import { EventLog } from './workflow/events.ts';
import { watchLooseEnds } from './workflow/loose-ends.ts';
import { endUnfinished } from './workflow/restart.ts';
import { PATIENCE, type Site } from './workflow/site.ts';
import { answerStranger, resolveWaiting } from './workflow/standing.ts';
import { Workflow } from './workflow/workflow.ts';

/** The parts of a running orchestrator. */
export interface Service {
  site: Site;
  workflow: Workflow;
  control: ControlServer;
}

/** What a test may put in another's place. */
export type Overrides = Partial<Pick<Site, 'agents' | 'fence' | 'patience' | 'timeouts_ms'>>;

export function makeService(
  config: Config,
  store: Store,
  log: Logger,
  overrides: Overrides = {},
): Service {
  const registry = new Registry(config, {
    onStranger: (link) => answerStranger(site, link),
    onWaiting: (standby) => resolve(site, standby),
    onClaim: (standby, claim) => answerClaim(site, standby, claim),
  });
  const site: Site = {
    config,
    store,
    events: new EventLog(store),
    agents: new AgentClient(),
    registry,
    fence,
    log,
    patience: PATIENCE,
    timeouts_ms: {},
    ...overrides,
  };
  const control = new ControlServer((link) => registry.accept(link));
  return { site, workflow: new Workflow(site), control };
}

function resolve(site: Site, standby: Standby): void {
  resolveWaiting(site, standby).catch((error: unknown) => {
    site.log.error({ err: toPmsmError(error) }, 'a doubt could not be resolved');
  });
}

export interface RunningOrchestrator {
  service: Service;
  close(): Promise<void>;
}

/** Brings everything up, or nothing: what cannot be had is one of the catalogue's errors. */
export async function startOrchestrator(
  config: Config,
  log: Logger,
  overrides: Overrides = {},
): Promise<RunningOrchestrator> {
  await using undo = new AsyncDisposableStack();
  const store = await FileStore.open(config.state_dir);
  undo.defer(() => store.close());
  const service = makeService(config, store, log, overrides);
  for (const { id, state, error } of await endUnfinished(store, service.site.events)) {
    log.warn({ id, state, error: error?.code }, 'ended by a restart');
  }
  await service.control.listen(config.control.host, config.control.port);
  undo.defer(() => service.control.close());
  service.site.registry.control_port = service.control.port;
  const { host, port, socket_path } = config.listen;
  const apps = [await listen(service, { host, port }, `${host}:${port}`, undo)];
  if (socket_path !== undefined) {
    await removeStaleSocket(socket_path);
    apps.push(await listen(service, { path: socket_path }, socket_path, undo));
  }
  undo.defer(watchLooseEnds(service.site));
  undo.defer(() => service.workflow.close());
  log.info({ control: service.control.port, rest: port, socket_path }, 'orchestrator is ready');
  const running = undo.move();
  return { service, close: () => running.disposeAsync() };
}

async function listen(
  service: Service,
  where: { host: string; port: number } | { path: string },
  name: string,
  undo: AsyncDisposableStack,
): Promise<FastifyInstance> {
  const app = await makeApp(service);
  undo.defer(() => app.close());
  try {
    await app.listen(where);
  } catch (error) {
    throw toListenError(error, name);
  }
  return app;
}

/** A socket that nobody answers on was left behind by a process that was killed. */
async function removeStaleSocket(path: string): Promise<void> {
  if (!existsSync(path)) return;
  const answered = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.on('connect', () => resolve(true));
    probe.on('error', () => resolve(false));
    probe.on('close', () => probe.destroy());
    probe.setTimeout(1000, () => probe.destroy());
  });
  if (answered) throw new PmsmError('port-taken', path);
  await unlink(path);
}
