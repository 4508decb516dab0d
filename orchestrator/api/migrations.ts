import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { PmsmError } from '../../agent/wire/errors.ts';
import type { Service } from '../service.ts';
import type { Migration } from '../store/record.ts';
import { resolveByPerson } from '../workflow/standing.ts';
import { Followers } from './events.ts';
import {
  IdParamsSchema,
  ListQuerySchema,
  MigrationListSchema,
  MigrationViewSchema,
  ReportSchema,
  ResolveSchema,
  StartSchema,
} from './schemas.ts';
import { toView } from './views.ts';

export function migrationsApi(service: Service): FastifyPluginAsyncZod {
  const { workflow, site } = service;
  const followers = new Followers(site.events);
  const find = (id: string): Migration => {
    const migration = site.store.get(id);
    if (!migration) throw new PmsmError('unknown-migration', id);
    return migration;
  };

  return async (app) => {
    app.post(
      '/v1/migrations',
      { schema: { body: StartSchema, response: { 202: MigrationViewSchema } } },
      async (request, reply) => {
        const migration = await workflow.start(request.body);
        reply.code(202).header('location', `/v1/migrations/${migration.id}`);
        return toView(migration, site.registry);
      },
    );

    app.get(
      '/v1/migrations',
      { schema: { querystring: ListQuerySchema, response: { 200: MigrationListSchema } } },
      async (request) => {
        const migrations = site.store.list().slice(0, request.query.limit);
        return { migrations: migrations.map((one) => toView(one, site.registry)) };
      },
    );

    app.get(
      '/v1/migrations/:id',
      { schema: { params: IdParamsSchema, response: { 200: MigrationViewSchema } } },
      async (request) => toView(find(request.params.id), site.registry),
    );

    app.post(
      '/v1/migrations/:id/cancel',
      { schema: { params: IdParamsSchema, response: { 202: MigrationViewSchema } } },
      async (request, reply) => {
        const migration = await workflow.cancel(request.params.id);
        reply.code(202);
        return toView(migration, site.registry);
      },
    );

    app.post(
      '/v1/migrations/:id/resolve',
      {
        schema: {
          params: IdParamsSchema,
          body: ResolveSchema,
          response: { 202: MigrationViewSchema },
        },
      },
      async (request, reply) => {
        const off = 'target_is_off' in request.body ? 'target' : 'source';
        const migration = await resolveByPerson(site, request.params.id, off);
        reply.code(202);
        return toView(migration, site.registry);
      },
    );

    app.get(
      '/v1/migrations/:id/report',
      { schema: { params: IdParamsSchema, response: { 200: ReportSchema } } },
      async (request) => {
        const { report, id } = find(request.params.id);
        if (!report) throw new PmsmError('not-found', `${id} has no report, or not yet`);
        return report;
      },
    );

    app.get('/v1/migrations/:id/events', { schema: { params: IdParamsSchema } }, (request, reply) =>
      followers.add(find(request.params.id), request, reply),
    );
  };
}
