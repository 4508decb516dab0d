import fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import {
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import { useProblemsFor } from '../../agent/source/api/problems.ts';
import type { Service } from '../service.ts';
import { hostsApi } from './hosts.ts';
import { migrationsApi } from './migrations.ts';

const BODY_BYTES_MAX = 64 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;

/** The REST interface; it listens nowhere by itself, so that tests can put requests in. */
export async function makeApp(service: Service): Promise<FastifyInstance> {
  const app = fastify({
    // Requests are not worth a line each; what fails is.
    loggerInstance: service.site.log.child({}, { level: 'warn' }) as FastifyBaseLogger,
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true,
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  useProblemsFor(app as unknown as FastifyInstance);
  await app.register(migrationsApi(service));
  await app.register(hostsApi(service));
  return app as unknown as FastifyInstance;
}
