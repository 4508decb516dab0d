/**
 * One attempt while it runs: what each side has said, and a way to wait for what is due.
 *
 * Messages are kept, not queued: `ready` of the target may come before `sent` of the source, and a
 * phase asks for either when it needs it. Whatever arrives wakes the one who waits, who looks again.
 */
import { EventEmitter } from 'node:events';
import type { Inventory } from '../../agent/source/api/schemas.ts';
import type { Facts } from '../../agent/source/facts.ts';
import { type ErrorCode, errorFromNumber, PmsmError } from '../../agent/wire/errors.ts';
import type { Edge, Message, MessageOf, MessageType, Role } from '../../agent/wire/wire.gen.ts';
import { now_ns, toMs } from '../clock.ts';
import type { Machine } from '../config.ts';
import type { Link } from '../control/link.ts';
import type { Offsets } from '../control/offsets.ts';
import type { Engine, Fault, Migration } from '../store/record.ts';
import { MemoryCheck } from './memory-check.ts';

/** More stamps than phases and steps have ends, twice over; a peer that sends more is at fault. */
const STAMPS_MAX = 128;
const MESSAGES_MAX = 1000;

export interface Stamp {
  role: Role;
  phase: number;
  edge: Edge;
  cycles: bigint;
}

/** When the orchestrator itself saw a phase begin and end. */
export interface Observed {
  begin_ns: bigint;
  end_ns: bigint | undefined;
}

export class Party {
  readonly role: Role;
  link: Link | undefined;
  /** Of the newest link; they outlive it. */
  offsets: Offsets | undefined;
  /** The newest message of each type. */
  #said = new Map<MessageType, Message>();
  #heard_ns = new Map<MessageType, bigint>();
  #messages = 0;
  /** The peer's own words when it gave up. */
  error: PmsmError | undefined;
  /** True once it was connected and is not any more. */
  lost = false;
  /** Sent again when the peer connects anew: an order stands until it is answered. */
  standingOrder: Message | undefined;

  constructor(role: Role) {
    this.role = role;
  }

  said<T extends MessageType>(type: T): MessageOf<T> | undefined {
    return this.#said.get(type) as MessageOf<T> | undefined;
  }

  heardAt_ns(type: MessageType): bigint | undefined {
    return this.#heard_ns.get(type);
  }

  hear(message: Message): void {
    if (++this.#messages > MESSAGES_MAX) {
      throw new PmsmError('protocol-error', 'more messages than an attempt can need');
    }
    this.#said.set(message.type, message);
    this.#heard_ns.set(message.type, now_ns());
    if (message.type === 'error') this.error = errorFromNumber(message.code, message.detail);
  }

  order(message: Message): void {
    this.standingOrder = message;
    this.link?.send(message);
  }
}

export class Attempt {
  readonly id: string;
  readonly generation: bigint;
  readonly migration: Migration;
  readonly source_machine: Machine;
  readonly target_machine: Machine;
  readonly source = new Party('source');
  readonly standby = new Party('standby');
  readonly resumed = new Party('resumed');
  readonly observed = new Map<string, Observed>();
  readonly stamps: Stamp[] = [];
  /** Decided by the preflight, from what was asked for and what both kernels can do. */
  engine: Engine | undefined;
  readonly check = new MemoryCheck();
  inventory: Inventory | undefined;
  target_facts: Facts | undefined;
  /** The source's wall clock less our monotonic clock, measured before the window. */
  realtime_offset_ns: bigint | undefined;
  /** Set before the order leaves: from here on the target may run the image. */
  jump_ordered = false;
  helper_started = false;
  /** Until then the source has not changed anything that a user could notice. */
  freeze_ordered = false;
  /** The target's machine waits as a standby on a new link, so it does not run the image. */
  standby_returned = false;
  fenced = false;
  fence_detail = '';
  /** After a failure: whether the source was heard to run again. */
  source_runs: boolean | undefined;
  /** The source was reset, and was told that it may boot from its disk: its memory is lost. */
  source_booted = false;
  cancelled = false;
  /** What ended the attempt, once something has. */
  failure: PmsmError | undefined;
  readonly warnings: Fault[] = [];
  /** Takes our ears off the links: those that stay open may serve another attempt. */
  #detach: Array<() => void> = [];
  #changes = new EventEmitter<{ change: [] }>().setMaxListeners(0);

  constructor(migration: Migration, source: Machine, target: Machine) {
    this.id = migration.id;
    this.generation = BigInt(migration.generation);
    this.migration = migration;
    this.source_machine = source;
    this.target_machine = target;
  }

  /** The pair that is in every order. */
  get key(): { attempt: string; generation: bigint } {
    return { attempt: this.id, generation: this.generation };
  }

  party(role: Role): Party {
    return { source: this.source, standby: this.standby, resumed: this.resumed }[role];
  }

  /** A link that belongs to this attempt; a new one of the same party takes the old one's place. */
  attach(role: Role, link: Link): void {
    const party = this.party(role);
    const previous = party.link;
    party.link = link;
    party.offsets = link.offsets;
    party.lost = false;
    const hear = (message: Message): void => this.#receive(party, link, message);
    const lose = (fault: PmsmError | undefined): void => {
      if (party.link !== link) return;
      party.lost = true;
      party.link = undefined;
      party.error ??= fault;
      this.wake();
    };
    link.on('message', hear);
    link.on('closed', lose);
    if (this.migration.options.check && role !== 'standby') link.expectDigests();
    this.#detach.push(() => link.off('message', hear).off('closed', lose));
    if (previous && previous !== link) previous.close();
    if (party.standingOrder) link.send(party.standingOrder);
    this.wake();
  }

  /** Why the source has thawed, in its own words; undefined as long as it was not heard to. */
  thawedBy(): ErrorCode | undefined {
    const thawed = this.source.said('thawed');
    return thawed && errorFromNumber(thawed.code).code;
  }

  /** The attempt is over here. */
  end(): void {
    for (const detach of this.#detach) detach();
    this.#detach = [];
  }

  cancel(): void {
    this.cancelled = true;
    this.wake();
  }

  wake(): void {
    this.#changes.emit('change');
  }

  /**
   * Resolves with the first value that `look` gives; a throw of `look` rejects. Past the timeout it
   * rejects with `late`, or with `timeout` naming what was waited for.
   */
  until<T>(
    what: string,
    timeout_ms: number,
    look: () => T | undefined,
    late?: PmsmError,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void): void => {
        clearTimeout(timer);
        this.#changes.off('change', check);
        finish();
      };
      const check = (): void => {
        try {
          const value = look();
          if (value !== undefined) settle(() => resolve(value));
        } catch (error) {
          settle(() => reject(error));
        }
      };
      const timer = setTimeout(() => {
        const error = new PmsmError('timeout', `${what}: not within ${timeout_ms} ms`);
        settle(() => reject(late ?? error));
      }, timeout_ms);
      this.#changes.on('change', check);
      check();
    });
  }

  #receive(party: Party, link: Link, message: Message): void {
    const wrong = this.#isForeign(message);
    if (wrong) {
      link.fail(new PmsmError('protocol-error', 'a message of another attempt'));
      return;
    }
    if (message.type === 'waiting' && message.attempt !== this.id) return;
    party.hear(message);
    if (message.type === 'phase') this.#stamp(party, message);
    if (message.type === 'frame_digests') this.#check(party, message);
    this.wake();
  }

  /** A standby may name no attempt when it waits; nobody may name another one than this. */
  #isForeign(message: Message): boolean {
    if (!('attempt' in message) || message.type === 'waiting') return false;
    return message.attempt !== this.id || message.generation !== this.generation;
  }

  #check(party: Party, message: MessageOf<'frame_digests'>): void {
    if (!this.migration.options.check) throw new PmsmError('protocol-error', 'nobody asked');
    if (party.role === 'source') this.check.keep(message);
    else this.check.compare(message);
  }

  #stamp(party: Party, { phase, edge, cycles }: MessageOf<'phase'>): void {
    if (this.stamps.length >= STAMPS_MAX) {
      throw new PmsmError('protocol-error', 'more phase stamps than there are phases');
    }
    this.stamps.push({ role: party.role, phase, edge, cycles });
  }

  beginPhase(name: string): void {
    this.observed.set(name, { begin_ns: now_ns(), end_ns: undefined });
  }

  endPhase(name: string): void {
    const observed = this.observed.get(name);
    if (observed) observed.end_ns = now_ns();
  }

  observedDuration_ms(name: string): number {
    const { begin_ns, end_ns } = this.observed.get(name) ?? {};
    return begin_ns === undefined || end_ns === undefined ? 0 : toMs(end_ns - begin_ns);
  }
}
