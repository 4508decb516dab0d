import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { PmsmError } from '../../wire/errors.ts';
import type { Agent } from './app.ts';
import { AttemptIdSchema, AttemptSchema, StartAttemptSchema } from './schemas.ts';

export function attemptsApi({ helper }: Agent): FastifyPluginAsyncZod {
  return async (app) => {
    app.post(
      '/v1/attempts',
      { schema: { body: StartAttemptSchema, response: { 202: AttemptSchema } } },
      async (request, reply) => {
        const attempt = helper.start(request.body);
        reply.code(202).header('location', `/v1/attempts/${attempt.attempt_id}`);
        return attempt;
      },
    );

    app.get(
      '/v1/attempts/:id',
      {
        schema: {
          params: z.object({ id: AttemptIdSchema }),
          response: { 200: AttemptSchema },
        },
      },
      async (request) => {
        const attempt = helper.attempt(request.params.id);
        if (!attempt) throw new PmsmError('unknown-migration', request.params.id);
        return attempt;
      },
    );
  };
}
