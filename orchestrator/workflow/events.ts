import { EventEmitter } from 'node:events';
import { now_ns, toMs } from '../clock.ts';
import type { MigrationEvent } from '../store/record.ts';
import type { Store } from '../store/store.ts';

type Listener = (event: MigrationEvent) => void;

/** What happens in migrations, for whoever watches, now or later. */
export class EventLog {
  readonly #store: Store;
  readonly #began_ns = new Map<string, bigint>();
  readonly #live = new EventEmitter<Record<string, [MigrationEvent]>>().setMaxListeners(0);

  constructor(store: Store) {
    this.#store = store;
  }

  add(id: string, kind: MigrationEvent['kind'], data: MigrationEvent['data']): void {
    const began_ns = this.#began_ns.get(id) ?? now_ns();
    this.#began_ns.set(id, began_ns);
    const event: MigrationEvent = {
      sequence: (this.#store.events(id).at(-1)?.sequence ?? 0) + 1,
      at: new Date().toISOString(),
      elapsed_ms: toMs(now_ns() - began_ns),
      kind,
      data,
    };
    this.#store.addEvent(id, event);
    this.#live.emit(id, event);
    if (kind === 'end') this.#began_ns.delete(id);
  }

  /** First what was behind `after`, then what comes; call the result to stop. */
  follow(id: string, after: number, listener: Listener): () => void {
    for (const event of this.#store.events(id)) if (event.sequence > after) listener(event);
    this.#live.on(id, listener);
    return () => this.#live.off(id, listener);
  }
}
