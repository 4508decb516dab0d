import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Facts } from '../../agent/source/facts.ts';
import { type Machine, machineNamed } from '../config.ts';
import type { Service } from '../service.ts';
import type { Engine } from '../store/record.ts';
import { inspect } from '../workflow/inspect.ts';
import { firstRefusal } from '../workflow/preflight.ts';
import type { Site } from '../workflow/site.ts';
import {
  HealthSchema,
  type Host,
  HostListSchema,
  PreflightAnswerSchema,
  PreflightRequestSchema,
} from './schemas.ts';

const AGENT_TIMEOUT_MS = 5000;
const FULL_FIXED_MS = 1500;
const FULL_BYTES_PER_S = 100e6;

export function hostsApi({ site, workflow }: Service): FastifyPluginAsyncZod {
  return async (app) => {
    app.get('/healthz', { schema: { response: { 200: HealthSchema } } }, async () => ({
      ok: true,
      running: site.registry.attempts().length,
    }));

    app.get('/v1/hosts', { schema: { response: { 200: HostListSchema } } }, async () => ({
      hosts: await Promise.all(site.config.machines.map((machine) => describe(site, machine))),
    }));

    app.post(
      '/v1/preflight',
      { schema: { body: PreflightRequestSchema, response: { 200: PreflightAnswerSchema } } },
      async (request) => {
        const { source, target, engine: choice } = request.body;
        const from = machineNamed(site.config, source);
        const to = target === undefined ? undefined : machineNamed(site.config, target);
        workflow.requireDifferent(from, to);
        const { findings, engine, inventory } = await inspect(site, from, to, choice);
        return {
          ok: !firstRefusal(findings),
          source,
          target: target ?? null,
          findings,
          engine: engine ?? null,
          expected_downtime_ms: expectedDowntime_ms(engine, inventory.facts),
        };
      },
    );
  };
}

/**
 * Before anything was measured: a full image is in use's memory over a link of 1 Gbit/s, of which
 * the lab's machines reach 100 MB/s too. What a delta costs shows only in its rounds.
 */
function expectedDowntime_ms(engine: Engine | undefined, { memory }: Facts): number | null {
  if (engine !== 'full' || !memory.used_bytes) return null;
  return FULL_FIXED_MS + Math.round((memory.used_bytes * 1000) / FULL_BYTES_PER_S);
}

async function describe(site: Site, machine: Machine): Promise<Host> {
  const { name, address } = machine;
  const standby = site.registry.standby(name);
  if (standby) {
    const state = standby.waiting ? 'standby' : 'busy';
    return { name, address, state, facts: standby.facts ? summary(standby.facts) : null };
  }
  // In its window a machine does not answer, and after it there is better to do than to catch up on questions.
  if (site.registry.attemptOf(name)) return { name, address, state: 'busy', facts: null };
  // A busy machine may be slow to list its facts, and runs all the same.
  const [answers, inventory] = await Promise.all([
    site.agents.answers(machine, AGENT_TIMEOUT_MS),
    site.agents.inventory(machine, AGENT_TIMEOUT_MS).catch(() => undefined),
  ]);
  if (answers || inventory) {
    return { name, address, state: 'running', facts: inventory ? summary(inventory.facts) : null };
  }
  const state = wasVacated(site, name) ? 'vacated' : 'unreachable';
  return { name, address, state, facts: null };
}

function wasVacated({ store }: Site, name: string): boolean {
  const last = store.list().find(({ source, target }) => source === name || target === name);
  return last?.state === 'moved' && last.source === name;
}

function summary({ kernel, memory, cpu }: Facts): Host['facts'] {
  return {
    kernel: kernel.release,
    total_bytes: memory.total_bytes,
    used_bytes: memory.used_bytes ?? null,
    cpus: cpu.count,
    cpu_name: cpu.name ?? '',
  };
}
