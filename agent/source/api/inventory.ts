import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { readMounts } from '../mounts.ts';
import { preflight } from '../preflight/preflight.ts';
import { readFacts, textOf } from '../surroundings.ts';
import type { Agent } from './app.ts';
import { InventorySchema, PreflightSchema } from './schemas.ts';

export function inventoryApi({ surroundings, machine }: Agent): FastifyPluginAsyncZod {
  return async (app) => {
    app.get(
      '/healthz',
      { schema: { response: { 200: z.object({ ok: z.boolean(), machine: z.string() }) } } },
      async () => ({ ok: true, machine: machine.identity.name }),
    );

    app.get('/v1/inventory', { schema: { response: { 200: InventorySchema } } }, async () => {
      const uptime = await textOf(surroundings, 'proc/uptime');
      return {
        machine: machine.identity,
        facts: await readFacts(surroundings),
        mounts: await readMounts(surroundings),
        uptime_s: Number.parseFloat(uptime ?? '0'),
      };
    });

    app.post(
      '/v1/preflight',
      { schema: { body: z.strictObject({}).nullish(), response: { 200: PreflightSchema } } },
      async () => await preflight(surroundings),
    );
  };
}
