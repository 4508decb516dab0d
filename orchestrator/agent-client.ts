import { z } from 'zod';
import {
  AttemptSchema,
  type AttemptView,
  type Inventory,
  InventorySchema,
  type Preflight,
  PreflightSchema,
  type StartAttempt,
} from '../agent/source/api/schemas.ts';
import { isErrorCode, PmsmError } from '../agent/wire/errors.ts';
import type { Machine } from './config.ts';
import { requestJson } from './http/request.ts';

const HEALTH_TIMEOUT_MS = 1000;
const INVENTORY_TIMEOUT_MS = 20_000;
const PREFLIGHT_TIMEOUT_MS = 30_000;
const START_TIMEOUT_MS = 10_000;

const HealthSchema = z.object({ ok: z.literal(true), machine: z.string().max(64) });

interface Call<T> {
  method: 'GET' | 'POST';
  path: string;
  body?: unknown;
  schema: z.ZodType<T>;
  timeout_ms: number;
}

/** Calls of the agents' REST interfaces; their answers are checked like anybody's. */
export class AgentClient {
  inventory(machine: Machine, timeout_ms = INVENTORY_TIMEOUT_MS): Promise<Inventory> {
    return this.#call(machine, {
      method: 'GET',
      path: '/v1/inventory',
      schema: InventorySchema,
      timeout_ms,
    });
  }

  preflight(machine: Machine): Promise<Preflight> {
    return this.#call(machine, {
      method: 'POST',
      path: '/v1/preflight',
      body: {},
      schema: PreflightSchema,
      timeout_ms: PREFLIGHT_TIMEOUT_MS,
    });
  }

  start(machine: Machine, body: StartAttempt): Promise<AttemptView> {
    return this.#call(machine, {
      method: 'POST',
      path: '/v1/attempts',
      body,
      schema: AttemptSchema,
      timeout_ms: START_TIMEOUT_MS,
    });
  }

  attempt(machine: Machine, id: string): Promise<AttemptView> {
    return this.#call(machine, {
      method: 'GET',
      path: `/v1/attempts/${id}`,
      schema: AttemptSchema,
      timeout_ms: HEALTH_TIMEOUT_MS,
    });
  }

  /** An agent that answers is thawed, and so is its machine. */
  async answers(machine: Machine, timeout_ms = HEALTH_TIMEOUT_MS): Promise<boolean> {
    return (await this.name(machine, timeout_ms)) !== undefined;
  }

  /** Which machine the agent at this address says that it is on; undefined if none answers. */
  async name(machine: Machine, timeout_ms = HEALTH_TIMEOUT_MS): Promise<string | undefined> {
    const send = { method: 'GET', path: '/healthz', timeout_ms } as const;
    const answer = await requestJson(endpointOf(machine), send).catch(() => undefined);
    return answer?.status === 200 ? HealthSchema.safeParse(answer.body).data?.machine : undefined;
  }

  async #call<T>(machine: Machine, call: Call<T>): Promise<T> {
    const { schema, ...send } = call;
    const answer = await requestJson(endpointOf(machine), send).catch((error: Error) => {
      throw new PmsmError('source-unreachable', `${machine.name}: ${error.message}`);
    });
    if (answer.status >= 400) throw toAgentError(machine, answer.status, answer.body);
    const parsed = schema.safeParse(answer.body);
    if (parsed.success) return parsed.data;
    const field = parsed.error.issues[0]?.path.join('.') ?? '';
    const detail = `the agent of ${machine.name} gave an answer that is not valid at ${field}`;
    throw new PmsmError('protocol-error', detail);
  }
}

function endpointOf({ address, agent_port }: Machine): { host: string; port: number } {
  return { host: address, port: agent_port };
}

function toAgentError(machine: Machine, status: number, body: unknown): PmsmError {
  const problem = (typeof body === 'object' && body !== null ? body : {}) as Record<
    string,
    unknown
  >;
  const detail = `the agent of ${machine.name}: ${problem.detail || problem.title || status}`;
  return new PmsmError(isErrorCode(problem.code) ? problem.code : 'internal', detail);
}
