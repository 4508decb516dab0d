/**
 * Who is connected: standbys by the machine whose address they come from, helpers and resumed
 * machines by their attempt.
 */
import { type Facts, FactsSchema } from '../../agent/source/facts.ts';
import { PmsmError } from '../../agent/wire/errors.ts';
import { NO_ATTEMPT } from '../../agent/wire/messages.ts';
import type { Message, MessageOf } from '../../agent/wire/wire.gen.ts';
import type { Config, Machine } from '../config.ts';
import type { Attempt } from '../workflow/attempt.ts';
import type { Link } from './link.ts';

export interface Standby {
  machine: Machine;
  link: Link;
  facts: Facts | undefined;
  /** It holds nothing of any attempt, so it can be reserved. */
  waiting: boolean;
}

interface Callbacks {
  /** A helper, resumed machine or standby of an attempt that does not run here (any more). */
  onStranger: (link: Link) => void;
  /** A standby says that it holds nothing of any attempt. */
  onWaiting: (standby: Standby) => void;
  /** A machine that has booted asks whether it owns the state of an attempt. */
  onClaim: (standby: Standby, claim: MessageOf<'claim'>) => void;
}

export class Registry {
  readonly #config: Config;
  readonly #callbacks: Callbacks;
  readonly #standbys = new Map<string, Standby>();
  readonly #attempts = new Map<string, Attempt>();
  readonly #strangers = new Set<Link>();
  /** Where helpers can reach the control server. */
  control_port = 0;

  constructor(config: Config, callbacks: Callbacks) {
    this.#config = config;
    this.#callbacks = callbacks;
  }

  standby(name: string): Standby | undefined {
    return this.#standbys.get(name);
  }

  attempts(): Attempt[] {
    return [...this.#attempts.values()];
  }

  /** The attempt that moves this machine, or another one there. */
  attemptOf(machine: string): Attempt | undefined {
    return this.attempts().find(
      ({ source_machine, target_machine }) =>
        source_machine.name === machine || target_machine.name === machine,
    );
  }

  addAttempt(attempt: Attempt): void {
    this.#attempts.set(attempt.id, attempt);
  }

  attempt(id: string): Attempt | undefined {
    return this.#attempts.get(id);
  }

  /** Called by the control server once a peer has said who it is. */
  accept(link: Link): void {
    if (link.hello?.role === 'standby') this.#acceptStandby(link);
    else this.#acceptParty(link);
  }

  #acceptParty(link: Link): void {
    const { role, attempt: id, generation } = link.hello as MessageOf<'hello'>;
    const attempt = this.#attempts.get(id);
    if (attempt?.generation === generation) {
      // The standby gave way to this machine, which will not answer for its connection.
      if (role === 'resumed') this.#standbys.get(attempt.target_machine.name)?.link.close();
      attempt.attach(role, link);
    } else {
      this.#keep(link);
      this.#callbacks.onStranger(link);
    }
  }

  /** Links that outlive their attempt are still heard: an attempt in doubt may end with them. */
  strangers(id: string): Link[] {
    return [...this.#strangers].filter((link) => link.hello?.attempt === id);
  }

  /** Ends the attempt here and gives back the links that it leaves. */
  removeAttempt(attempt: Attempt): Link[] {
    this.#attempts.delete(attempt.id);
    const links = [attempt.source.link, attempt.resumed.link].filter((link) => link !== undefined);
    for (const link of links) this.#keep(link);
    return links;
  }

  #keep(link: Link): void {
    this.#strangers.add(link);
    link.on('closed', () => this.#strangers.delete(link));
  }

  #acceptStandby(link: Link): void {
    const machine = this.#config.machines.find(({ address }) => address === link.peer_address);
    if (!machine) {
      const detail = `no machine with the address ${link.peer_address} is configured`;
      link.fail(new PmsmError('unknown-host', detail));
      return;
    }
    const standby: Standby = { machine, link, facts: undefined, waiting: false };
    const previous = this.#standbys.get(machine.name);
    this.#standbys.set(machine.name, standby);
    previous?.link.close();
    link.on('message', (message) => this.#hear(standby, message));
    link.on('closed', () => {
      if (this.#standbys.get(machine.name) === standby) this.#standbys.delete(machine.name);
    });
    const { attempt: id, generation } = link.hello as MessageOf<'hello'>;
    const attempt = this.#attempts.get(id);
    if (id === NO_ATTEMPT) return;
    if (attempt?.generation === generation) attempt.attach('standby', link);
    else this.#callbacks.onStranger(link);
  }

  #hear(standby: Standby, message: Message): void {
    if (message.type === 'facts') standby.facts = parseFacts(message.json);
    if (message.type === 'claim') this.#callbacks.onClaim(standby, message);
    if (message.type !== 'waiting') return;
    standby.waiting = true;
    for (const attempt of this.#attempts.values()) {
      if (attempt.target_machine.name !== standby.machine.name) continue;
      const anew = attempt.standby.link !== standby.link;
      attempt.standby_returned ||= attempt.jump_ordered && anew;
      attempt.wake();
    }
    this.#callbacks.onWaiting(standby);
  }
}

function parseFacts(json: string): Facts {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new PmsmError('protocol-error', `facts are not JSON: ${(error as Error).message}`);
  }
  const parsed = FactsSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const field = parsed.error.issues[0]?.path.join('.') ?? '';
  throw new PmsmError('protocol-error', `facts are not valid at ${field}`);
}
