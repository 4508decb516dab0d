import fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import {
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import type { Logger } from 'pino';
import type { Helper } from '../helper.ts';
import type { Machine } from '../machine.ts';
import type { Surroundings } from '../surroundings.ts';
import { attemptsApi } from './attempts.ts';
import { inventoryApi } from './inventory.ts';
import { useProblemsFor } from './problems.ts';

const BODY_BYTES_MAX = 64 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;

/** The parts of a running agent. */
export interface Agent {
  surroundings: Surroundings;
  machine: Machine;
  helper: Helper;
  log: Logger;
}

/** The REST interface; it listens nowhere by itself, so that tests can put requests in. */
export async function makeApp(agent: Agent): Promise<FastifyInstance> {
  const app = fastify({
    loggerInstance: agent.log.child({}, { level: 'warn' }) as FastifyBaseLogger,
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true,
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  useProblemsFor(app as unknown as FastifyInstance);
  await app.register(inventoryApi(agent));
  await app.register(attemptsApi(agent));
  return app as unknown as FastifyInstance;
}
