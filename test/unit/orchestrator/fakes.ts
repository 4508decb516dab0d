/**
 * A source, a standby and a resumed machine that speak the real wire format over real sockets, and
 * do what a test tells them. The world remembers who runs, so that every test can ask the one
 * question that matters: did both ever run?
 */
import { connect, type Socket } from 'node:net';
import pino from 'pino';
import type {
  Finding,
  Inventory,
  Preflight,
  StartAttempt,
} from '../../../agent/source/api/schemas.ts';
import type { Facts } from '../../../agent/source/facts.ts';
import { FrameDecoder, FrameEncoder } from '../../../agent/wire/codec.ts';
import { type ErrorCode, PmsmError } from '../../../agent/wire/errors.ts';
import { NO_ATTEMPT, phaseNumber } from '../../../agent/wire/messages.ts';
import type { PhaseName } from '../../../agent/wire/phases.gen.ts';
import type { Message, MessageType, Role } from '../../../agent/wire/wire.gen.ts';
import { AgentClient } from '../../../orchestrator/agent-client.ts';
import { type Config, type Machine, parseConfig } from '../../../orchestrator/config.ts';
import type { Overrides, RunningOrchestrator } from '../../../orchestrator/service.ts';
import { startOrchestrator } from '../../../orchestrator/service.ts';
import { type Migration, OptionsSchema } from '../../../orchestrator/store/record.ts';

export const SOURCE_ADDRESS = '127.0.0.11';
export const TARGET_ADDRESS = '127.0.0.12';
const CYCLES_KHZ = 1_000_000n;
/** The counters of two machines have nothing to do with each other. */
const COUNTER_OFFSET: Record<Role, bigint> = {
  source: 5_000_000_000_000n,
  standby: 900_000_000_000n,
  resumed: 900_000_000_000n,
};
export const IMAGE_BYTES = 1_048_576n;
const CHAIN = 0x1234n;

export const silentLog = pino({ level: 'silent' });

export function makeFacts(changes: Partial<Facts> = {}): Facts {
  return {
    kernel: { release: '6.12.0', version: '#1 SMP' },
    memory: {
      total_bytes: 2_147_483_648,
      present_pages: 524_000,
      map: [{ start: 0, end: 4095, type: 'System RAM' }],
      map_digest: 'abcd',
      used_bytes: 600_000_000,
    },
    cpu: { name: 'A CPU', model: 1, family: 6, stepping: 1, flags: ['sse', 'avx'], count: 1 },
    pci: [{ slot: '0000:00:02.0', vendor: '0x8086', device: '0x10d3', class: '0x020000' }],
    network: [],
    migration: { interface: 'eth1', address: TARGET_ADDRESS, prefix: 8, mac: '52:54:00:00:01:02' },
    ...changes,
  };
}

/** A machine whose kernel makes and completes images of the engine delta. */
export function makePatchedFacts(image_format = 1): Facts {
  return makeFacts({ kernel: { release: '6.12.0', version: '#1 SMP', image_format } });
}

/** One control connection, from the peer's side. */
export class Peer {
  readonly role: Role;
  readonly socket: Socket;
  readonly heard: Message[] = [];
  #encoder = new FrameEncoder();
  #decoder = new FrameDecoder();

  constructor(role: Role, port: number, localAddress: string, on: (message: Message) => void) {
    this.role = role;
    this.socket = connect({ port, host: '127.0.0.1', localAddress });
    this.socket.on('error', () => undefined);
    this.socket.on('data', (chunk: Buffer) => {
      for (const message of this.#decoder.push(chunk)) {
        if (message.type === 'ping') this.#pong(message.cookie);
        else {
          this.heard.push(message);
          on(message);
        }
      }
    });
  }

  hello(attempt: string, generation: bigint): void {
    this.send({ type: 'hello', role: this.role, attempt, generation, cycles_khz: CYCLES_KHZ });
  }

  send(message: Message): void {
    if (!this.socket.destroyed) this.socket.write(this.#encoder.encode(message));
  }

  phase(name: PhaseName): void {
    const phase = phaseNumber(name);
    this.send({ type: 'phase', phase, edge: 'begin', cycles: this.cycles() });
    this.send({ type: 'phase', phase, edge: 'end', cycles: this.cycles() });
  }

  cycles(): bigint {
    return process.hrtime.bigint() + COUNTER_OFFSET[this.role];
  }

  close(): void {
    this.socket.destroy();
  }

  #pong(cookie: bigint): void {
    const realtime_ns = BigInt(Date.now()) * 1_000_000n;
    this.send({ type: 'pong', cookie, cycles: this.cycles(), realtime_ns });
  }
}

/**
 * What a peer does instead of the right thing. `silent` and `close` say themselves, `error` gives
 * up with that code, `thawed` tells of a thaw, `say` sends anything.
 */
export type Fault =
  | 'silent'
  | 'close'
  | { error: ErrorCode }
  | { thawed: ErrorCode }
  | { say: (key: { attempt: string; generation: bigint }) => Message };

export interface Behaviour {
  /** By the order that would be answered; `start` is the agent's call, `ready` the end of the stream. */
  source?: Partial<Record<MessageType | 'start', Fault>>;
  standby?: Partial<Record<MessageType, Fault>>;
  resumed?: Partial<Record<MessageType, Fault>>;
  /** Whether the target is off after the fence; without it no fence is configured. */
  fence?: 'confirms' | 'fails';
  /** The agent answers its health check once the source runs. */
  agent_answers?: boolean;
  /** What it calls itself, if that is not what it is. */
  agent_name?: string;
  findings?: Finding[];
  source_facts?: Facts;
  standby_facts?: Facts;
  /** The order at which the test does something of its own. */
  at?: { order: MessageType; act: (world: World) => void | Promise<void> };
}

export class World {
  readonly behaviour: Behaviour;
  readonly orders: Array<{ to: Role; type: MessageType; message: Message }> = [];
  source_runs = true;
  target_runs = false;
  both_ran = false;
  source: Peer | undefined;
  standby: Peer | undefined;
  resumed: Peer | undefined;
  fence_calls = 0;
  key = { attempt: NO_ATTEMPT, generation: 0n };
  #port = 0;

  constructor(behaviour: Behaviour) {
    this.behaviour = behaviour;
  }

  ordered(type: MessageType): boolean {
    return this.orders.some((order) => order.type === type);
  }

  setRunning(who: 'source' | 'target', runs: boolean): void {
    if (who === 'source') this.source_runs = runs;
    else this.target_runs = runs;
    this.both_ran ||= this.source_runs && this.target_runs;
  }

  connectStandby(port: number): void {
    this.#port = port;
    const peer = new Peer('standby', port, TARGET_ADDRESS, (message) => {
      if (this.standby === peer) this.#standbyHears(peer, message);
    });
    this.standby = peer;
    peer.hello(NO_ATTEMPT, 0n);
    const facts = this.behaviour.standby_facts ?? makeFacts();
    peer.send({ type: 'facts', json: JSON.stringify(facts) });
    peer.send({ type: 'waiting', attempt: NO_ATTEMPT, generation: 0n });
  }

  connectSource(port = this.#port): void {
    this.#port = port;
    const peer = new Peer('source', this.#port, SOURCE_ADDRESS, (message) => {
      this.#sourceHears(peer, message);
    });
    this.source = peer;
    peer.hello(this.key.attempt, this.key.generation);
  }

  connectResumed(): void {
    const peer = new Peer('resumed', this.#port, TARGET_ADDRESS, (message) => {
      this.#resumedHears(peer, message);
    });
    this.resumed = peer;
    peer.hello(this.key.attempt, this.key.generation);
  }

  close(): void {
    for (const peer of [this.source, this.standby, this.resumed]) peer?.close();
  }

  #note(to: Role, message: Message): void {
    if (message.type === 'hello') return;
    this.orders.push({ to, type: message.type, message });
    const { at } = this.behaviour;
    if (at?.order === message.type) void at.act(this);
  }

  /** True if the peer does something else than it should. */
  #misbehaves(peer: Peer, fault: Fault | undefined): boolean {
    if (fault === undefined) return false;
    if (fault === 'silent') return true;
    if (fault === 'close') peer.close();
    else if ('say' in fault) peer.send(fault.say(this.key));
    else if ('error' in fault) {
      const code = new PmsmError(fault.error).number;
      peer.send({ type: 'error', code, phase: 0, system_errno: 5, detail: 'as told' });
      if (peer.role === 'source') this.#sourceThaws(peer, fault.error);
    } else this.#sourceThaws(peer, fault.thawed);
    return true;
  }

  #sourceThaws(peer: Peer, code: ErrorCode): void {
    this.setRunning('source', true);
    peer.send({ type: 'thawed', ...this.key, code: new PmsmError(code).number });
  }

  #sourceHears(peer: Peer, message: Message): void {
    this.#note('source', message);
    if (this.#misbehaves(peer, this.behaviour.source?.[message.type])) return;
    switch (message.type) {
      case 'hello':
        this.#prepare(peer);
        break;
      case 'precopy':
        this.#precopy(peer);
        break;
      case 'freeze':
        this.#freeze(peer);
        break;
      case 'commit':
        peer.send({ type: 'given_up', ...this.key });
        break;
      case 'abort':
      case 'thaw':
        this.#sourceThaws(peer, 'cancelled');
        break;
      case 'release':
        peer.send({ type: 'released', ...this.key });
        peer.socket.end();
    }
  }

  #prepare(peer: Peer): void {
    if (this.behaviour.source?.hello) return;
    peer.phase('prepare');
    peer.send({
      type: 'prepared',
      codec: 'lz4',
      link_bytes_per_s: 1_000_000n,
      codec_bytes_per_s: 2_000_000n,
      codec_ratio_permille: 400n,
      total_bytes: 2_147_483_648n,
      used_bytes: 600_000_000n,
    });
  }

  #precopy(peer: Peer): void {
    peer.phase('precopy');
    const numbers = { frames: 1000n, frames_total: 1000n, wire_bytes: 4_000_000n };
    for (const number of [1, 2]) {
      const changed = number === 1 ? 1000n : 40n;
      const round = { number, throttled: 0, elapsed_ms: 50, changed, pages: changed, ...numbers };
      peer.send({ type: 'round', ...round, state: 'running', predicted_downtime_ms: 0 });
      peer.send({
        type: 'round',
        ...round,
        state: 'complete',
        predicted_downtime_ms: 700 / number,
      });
    }
    peer.send({ type: 'precopied', ...this.key, rounds: 2, predicted_downtime_ms: 350 });
  }

  #freeze(peer: Peer): void {
    this.setRunning('source', false);
    for (const name of ['quarantine', 'freeze', 'snapshot', 'send'] as const) peer.phase(name);
    peer.send({
      type: 'sent',
      image_bytes: IMAGE_BYTES,
      wire_bytes: 500_000n,
      wire_bytes_total: 600_000n,
      chunks: 1n,
      saveable_bytes: 2_000_000n,
      chain: CHAIN,
    });
    if (this.standby) this.#streamEnds(this.standby);
  }

  #streamEnds(standby: Peer): void {
    if (this.#misbehaves(standby, this.behaviour.standby?.ready)) return;
    const ready = { chunks: 1n, raw_bytes: IMAGE_BYTES, chain: CHAIN };
    standby.send({ type: 'ready', ...this.key, ...ready });
  }

  #standbyHears(peer: Peer, message: Message): void {
    this.#note('standby', message);
    if ('attempt' in message && message.type === 'reserve') {
      this.key = { attempt: message.attempt, generation: message.generation };
    }
    if (this.#misbehaves(peer, this.behaviour.standby?.[message.type])) return;
    if (message.type === 'reserve')
      peer.send({ type: 'reserved', ...this.key, port: message.port });
    if (message.type === 'abort') peer.send({ type: 'waiting', ...this.key });
    if (message.type === 'jump') {
      this.standby = undefined;
      this.connectResumed();
    }
  }

  #resumedHears(peer: Peer, message: Message): void {
    this.#note('resumed', message);
    if (this.#misbehaves(peer, this.behaviour.resumed?.[message.type])) return;
    if (message.type === 'hello') this.#alive(peer);
    if (message.type === 'go') {
      this.setRunning('target', true);
      peer.phase('thaw');
      peer.send({ type: 'thawed', ...this.key, code: 0 });
    }
  }

  #alive(peer: Peer): void {
    peer.phase('alive');
    peer.send({ type: 'alive', ...this.key });
    const cycles = Array.from({ length: 32 }, () => 0n);
    for (let i = 14; i <= 24; i++) cycles[i] = peer.cycles();
    peer.send({ type: 'kernel_stamps', cycles_khz: CYCLES_KHZ, cycles });
  }
}

class FakeAgents extends AgentClient {
  readonly #world: World;

  constructor(world: World) {
    super();
    this.#world = world;
  }

  override async inventory(): Promise<Inventory> {
    const name = 'node1';
    return {
      machine: { name, address: SOURCE_ADDRESS, prefix: 8, interface: 'eth1', single_nic: false },
      facts: this.#world.behaviour.source_facts ?? makeFacts(),
      mounts: [],
      uptime_s: 10,
    };
  }

  override async preflight(): Promise<Preflight> {
    const { findings = [], source_facts = makeFacts() } = this.#world.behaviour;
    return { findings, image_format: source_facts.kernel.image_format ?? 0 };
  }

  override async start(_machine: unknown, body: StartAttempt) {
    const fault = this.#world.behaviour.source?.start;
    if (typeof fault === 'object' && 'error' in fault) throw new PmsmError(fault.error, 'as told');
    if (fault !== 'silent') this.#world.connectSource();
    return this.#view(body.attempt_id, 'running');
  }

  override async attempt(_machine: unknown, id: string) {
    const failed = this.#world.behaviour.source?.start !== undefined;
    return this.#view(id, failed ? 'failed' : 'rolled-back');
  }

  override async name({ address }: Machine): Promise<string | undefined> {
    const { behaviour, source_runs, target_runs } = this.#world;
    const runs = address === TARGET_ADDRESS ? target_runs : source_runs;
    if (!behaviour.agent_answers || !runs) return undefined;
    return behaviour.agent_name ?? (address === TARGET_ADDRESS ? 'node2' : 'node1');
  }

  #view(attempt_id: string, state: 'running' | 'failed' | 'rolled-back') {
    const code = state === 'failed' ? ('stream-failed' as const) : null;
    const detail = state === 'rolled-back' ? "the helper's own words" : '';
    return { attempt_id, generation: 1, state, code, detail, lines: [] };
  }
}

export interface Lab extends RunningOrchestrator {
  world: World;
  config: Config;
}

export function makeConfig(state_dir: string): Config {
  return parseConfig(
    {
      machines: [
        { name: 'node1', address: SOURCE_ADDRESS },
        { name: 'node2', address: TARGET_ADDRESS },
      ],
      listen: { port: 0 },
      control: { port: 0 },
      state_dir,
    },
    'test',
  );
}

/** A real orchestrator with a fake world around it, in which waiting is short. */
export async function startLab(
  state_dir: string,
  behaviour: Behaviour = {},
  overrides: Overrides = {},
  standby: 'a standby' | 'no standby' = 'a standby',
): Promise<Lab> {
  const world = new World(behaviour);
  const config = makeConfig(state_dir);
  const orchestrator = await startOrchestrator(config, silentLog, {
    agents: new FakeAgents(world),
    fence: async () => {
      world.fence_calls++;
      const confirmed_off = behaviour.fence === 'confirms';
      return { confirmed_off, detail: behaviour.fence ?? 'no fence' };
    },
    patience: { thawed_ms: 300, waiting_ms: 300, helper_ends_ms: 300, look_ms: 50 },
    timeouts_ms: { ...SHORT_TIMEOUTS },
    ...overrides,
  });
  if (standby === 'a standby') {
    world.connectStandby(orchestrator.service.control.port);
    await eventually(() => orchestrator.service.site.registry.standby('node2')?.waiting === true);
  }
  return {
    ...orchestrator,
    world,
    config,
    close: async () => {
      world.close();
      await orchestrator.close();
    },
  };
}

const SHORT_TIMEOUTS: NonNullable<Overrides['timeouts_ms']> = {
  reserve: 500,
  prepare: 900,
  quarantine: 500,
  freeze: 500,
  snapshot: 500,
  send: 500,
  verify: 500,
  commit: 500,
  jump: 500,
  alive: 500,
  thaw: 500,
  release: 500,
};

/** Bounded: fails the test if the condition does not come true. */
export async function eventually(condition: () => boolean, limit_ms = 5000): Promise<void> {
  const deadline = performance.now() + limit_ms;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${limit_ms} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** One migration to its end, as it is recorded. */
export async function migrate(lab: Lab): Promise<Migration> {
  const { id } = await lab.service.workflow.start(REQUEST);
  await lab.service.workflow.settled();
  const migration = lab.service.site.store.get(id);
  if (!migration) throw new Error('the record is gone');
  return migration;
}

export const REQUEST = {
  source: 'node1',
  target: 'node2',
  engine: 'auto' as const,
  options: OptionsSchema.parse({ stall_ms: 200 }),
};
