/** Every error of a REST interface is a problem document (RFC 9457) out of the error catalogue. */
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify';
import { PmsmError, toPmsmError } from '../../wire/errors.ts';

const METHOD_NOT_ALLOWED = 405;

export function sendProblem(reply: FastifyReply, error: PmsmError, status?: number): FastifyReply {
  const problem = error.toProblem();
  const code = status ?? problem.status;
  return reply
    .code(code)
    .header('content-type', 'application/problem+json')
    .serializer((body: unknown) => JSON.stringify(body))
    .send({ ...problem, status: code });
}

/** To be called before any route is registered, since it notes them for 405. */
export function useProblemsFor(app: FastifyInstance): void {
  const routes = new Map<string, { pattern: RegExp; methods: Set<string> }>();
  app.addHook('onRoute', ({ url, method }) => {
    const route = routes.get(url) ?? { pattern: toPattern(url), methods: new Set<string>() };
    for (const one of [method].flat()) route.methods.add(one);
    routes.set(url, route);
  });
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const problem = toCatalogueError(error);
    if (problem.code === 'internal') request.log.error({ err: error }, 'request failed');
    return sendProblem(reply, problem, clientStatus(error));
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '/';
    const matching = [...routes.values()].filter(({ pattern }) => pattern.test(path));
    if (matching.length === 0) {
      return sendProblem(reply, new PmsmError('not-found', `${request.method} ${path}`));
    }
    const allowed = matching.flatMap(({ methods }) => [...methods]).join(', ');
    reply.header('allow', allowed);
    const detail = `${request.method} is not possible at ${path}, only ${allowed}`;
    return sendProblem(reply, new PmsmError('bad-request', detail), METHOD_NOT_ALLOWED);
  });
}

function toPattern(url: string): RegExp {
  return new RegExp(`^${url.replace(/[.]/g, '\\.').replace(/:[A-Za-z_]+/g, '[^/]+')}$`);
}

function toCatalogueError(error: FastifyError): PmsmError {
  if (error instanceof PmsmError) return error;
  if (error.validation || clientStatus(error) !== undefined) {
    return new PmsmError('bad-request', error.message);
  }
  return toPmsmError(error);
}

/** Fastify's own refusals (too large a body, an unknown media type) keep their status. */
function clientStatus(error: FastifyError): number | undefined {
  const status = error.statusCode;
  if (error instanceof PmsmError || status === undefined) return undefined;
  return status >= 400 && status < 500 ? status : undefined;
}
