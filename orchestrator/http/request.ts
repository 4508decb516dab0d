/** A small HTTP client over TCP or a unix socket: JSON in, JSON out, with limits on both. */
import { type IncomingMessage, type RequestOptions, request } from 'node:http';

export const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

/** Where a service listens: `http://host:port` or `unix:/path`. */
export type Endpoint = { host: string; port: number } | { socketPath: string };

export interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  body: unknown;
}

export interface RequestToSend {
  method: 'GET' | 'POST';
  path: string;
  body?: unknown;
  timeout_ms: number;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** Rejects with the system's error if nobody answers in time; any status is an answer. */
export async function requestJson(endpoint: Endpoint, send: RequestToSend): Promise<Answer> {
  const timeout = AbortSignal.timeout(send.timeout_ms);
  const signal = send.signal ? AbortSignal.any([timeout, send.signal]) : timeout;
  const response = await openRequest(endpoint, { ...send, signal });
  const chunks: Buffer[] = [];
  let size_bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size_bytes += chunk.length;
    if (size_bytes > ANSWER_BYTES_MAX) throw new Error('the answer is too long');
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  return { status: response.statusCode ?? 0, headers: response.headers, body: parse(text) };
}

/** Resolves once the head of the answer is there; the caller reads the body. */
export function openRequest(
  endpoint: Endpoint,
  send: Omit<RequestToSend, 'timeout_ms'>,
): Promise<IncomingMessage> {
  const payload = send.body === undefined ? undefined : JSON.stringify(send.body);
  const options: RequestOptions = {
    ...endpoint,
    method: send.method,
    path: send.path,
    agent: false,
    headers: {
      accept: 'application/json',
      ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
      ...send.headers,
    },
    ...(send.signal ? { signal: send.signal } : {}),
  };
  return new Promise((resolve, reject) => {
    const outgoing = request(options, resolve);
    outgoing.on('error', reject);
    outgoing.end(payload);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
