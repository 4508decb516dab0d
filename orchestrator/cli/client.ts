import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from 'zod';
import { isErrorCode, PmsmError } from '../../agent/wire/errors.ts';
import {
  EventSchema,
  type Host,
  HostListSchema,
  MigrationListSchema,
  type MigrationView,
  MigrationViewSchema,
  type PreflightAnswer,
  PreflightAnswerSchema,
  ReportSchema,
  type StartRequest,
} from '../api/schemas.ts';
import { type Endpoint, openRequest, requestJson } from '../http/request.ts';
import type { EngineChoice, MigrationEvent, Report } from '../store/record.ts';
import { nameEndpoint } from './endpoint.ts';

const TIMEOUT_MS = 30_000;
const RECONNECT_MS = 500;
/** How long a watch survives an orchestrator that is away, for instance restarted. */
const RECONNECTS_MAX = 20;
const FRAME_CHARACTERS_MAX = 1024 * 1024;

/** The orchestrator's REST interface as functions. */
export class Client {
  readonly #endpoint: Endpoint;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  start(body: StartRequest): Promise<MigrationView> {
    return this.#call('POST', '/v1/migrations', MigrationViewSchema, body);
  }

  async list(limit: number): Promise<MigrationView[]> {
    const path = `/v1/migrations?limit=${limit}`;
    return (await this.#call('GET', path, MigrationListSchema)).migrations;
  }

  migration(id: string): Promise<MigrationView> {
    return this.#call('GET', pathOf(id), MigrationViewSchema);
  }

  cancel(id: string): Promise<MigrationView> {
    return this.#call('POST', `${pathOf(id)}/cancel`, MigrationViewSchema, {});
  }

  resolve(id: string, off: 'target' | 'source'): Promise<MigrationView> {
    const body = off === 'target' ? { target_is_off: true } : { source_is_off: true };
    return this.#call('POST', `${pathOf(id)}/resolve`, MigrationViewSchema, body);
  }

  report(id: string): Promise<Report> {
    return this.#call('GET', `${pathOf(id)}/report`, ReportSchema);
  }

  async hosts(): Promise<Host[]> {
    return (await this.#call('GET', '/v1/hosts', HostListSchema)).hosts;
  }

  preflight(
    source: string,
    target: string | undefined,
    engine: EngineChoice = 'auto',
  ): Promise<PreflightAnswer> {
    const body = target === undefined ? { source, engine } : { source, target, engine };
    return this.#call('POST', '/v1/preflight', PreflightAnswerSchema, body);
  }

  /** Every event of a migration, from its first to its end; survives a break of the connection. */
  async *follow(id: string, signal: AbortSignal): AsyncGenerator<MigrationEvent> {
    let last = 0;
    for (let breaks = 0; breaks <= RECONNECTS_MAX; breaks++) {
      try {
        for await (const event of this.#followOnce(id, last, signal)) {
          last = event.sequence;
          breaks = 0;
          yield event;
          if (event.kind === 'end') return;
        }
        if ((await this.migration(id)).outcome !== null) return;
      } catch (error) {
        if (signal.aborted || !isUnreachable(error)) throw error;
      }
      await sleep(RECONNECT_MS, undefined, { signal });
    }
    throw this.#unreachable(new Error('it has gone away'));
  }

  async *#followOnce(
    id: string,
    last: number,
    signal: AbortSignal,
  ): AsyncGenerator<MigrationEvent> {
    const response = await openRequest(this.#endpoint, {
      method: 'GET',
      path: `${pathOf(id)}/events`,
      headers: { accept: 'text/event-stream', 'last-event-id': String(last) },
      signal,
    }).catch((error: Error) => {
      throw this.#unreachable(error);
    });
    if (response.statusCode !== 200)
      throw toError(response.statusCode ?? 0, await bodyOf(response));
    yield* eventsOf(response);
  }

  async #call<T>(
    method: 'GET' | 'POST',
    path: string,
    schema: z.ZodType<T>,
    body?: unknown,
  ): Promise<T> {
    const send = { method, path, timeout_ms: TIMEOUT_MS, ...(body === undefined ? {} : { body }) };
    const answer = await requestJson(this.#endpoint, send).catch((error: Error) => {
      throw this.#unreachable(error);
    });
    if (answer.status >= 400) throw toError(answer.status, answer.body);
    const parsed = schema.safeParse(answer.body);
    if (parsed.success) return parsed.data;
    const where = nameEndpoint(this.#endpoint);
    throw new PmsmError('version-mismatch', `${where} answered something that is not known here`);
  }

  #unreachable(error: Error): PmsmError {
    const detail = `${nameEndpoint(this.#endpoint)}: ${error.message}`;
    return new PmsmError('orchestrator-unreachable', detail, { cause: error });
  }
}

function pathOf(id: string): string {
  return `/v1/migrations/${encodeURIComponent(id)}`;
}

function isUnreachable(error: unknown): boolean {
  return !(error instanceof PmsmError) || error.code === 'orchestrator-unreachable';
}

function toError(status: number, body: unknown): PmsmError {
  const problem = (typeof body === 'object' && body !== null ? body : {}) as Record<
    string,
    unknown
  >;
  if (isErrorCode(problem.code)) return new PmsmError(problem.code, String(problem.detail ?? ''));
  return new PmsmError('internal', `the orchestrator answered with status ${status}`);
}

async function bodyOf(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Frames of text/event-stream, of which only the data lines matter here. */
async function* eventsOf(response: IncomingMessage): AsyncGenerator<MigrationEvent> {
  response.setEncoding('utf8');
  let rest = '';
  for await (const chunk of response as AsyncIterable<string>) {
    const frames = (rest + chunk).split('\n\n');
    rest = frames.pop() ?? '';
    if (rest.length > FRAME_CHARACTERS_MAX) throw new PmsmError('protocol-error', 'a long event');
    for (const frame of frames) {
      const event = parseFrame(frame);
      if (event) yield event;
    }
  }
}

function parseFrame(frame: string): MigrationEvent | undefined {
  const data = frame
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice('data: '.length))
    .join('\n');
  return data === '' ? undefined : EventSchema.safeParse(JSON.parse(data)).data;
}
