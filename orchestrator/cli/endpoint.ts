import { globSync } from 'node:fs';
import { join } from 'node:path';
import { PmsmError } from '../../agent/wire/errors.ts';
import type { Endpoint } from '../http/request.ts';

export const DEFAULT_PORT = 7070;
const DEFAULT: Endpoint = { host: '127.0.0.1', port: DEFAULT_PORT };

/** Where the orchestrator is: as told, else the only lab that runs, else this machine. */
export function findEndpoint(told: string | undefined, env: NodeJS.ProcessEnv): Endpoint {
  const text = told ?? env.PMSM_ORCHESTRATOR;
  if (text !== undefined && text !== '') return parseEndpoint(text);
  const sockets = labSockets(env);
  const [socketPath] = sockets;
  return sockets.length === 1 && socketPath ? { socketPath } : DEFAULT;
}

/** `http://host:port`, `host:port` or `unix:/path`. */
export function parseEndpoint(text: string): Endpoint {
  if (text.startsWith('unix:')) return { socketPath: text.slice('unix:'.length) };
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (url?.protocol !== 'http:' || url.hostname === '') {
    throw new PmsmError('bad-request', `${text} is neither http://HOST:PORT nor unix:/PATH`);
  }
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || DEFAULT_PORT) };
}

export function nameEndpoint(endpoint: Endpoint): string {
  return 'socketPath' in endpoint
    ? `unix:${endpoint.socketPath}`
    : `http://${endpoint.host}:${endpoint.port}`;
}

function labSockets(env: NodeJS.ProcessEnv): string[] {
  const base = env.XDG_RUNTIME_DIR || '/tmp';
  const directory = join(base, `pmsm-lab-${process.getuid?.() ?? 0}`);
  return globSync('*/orchestrator.sock', { cwd: directory }).map((name) => join(directory, name));
}
