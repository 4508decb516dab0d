import type { PongMessage } from '../../agent/wire/wire.gen.ts';

/** At one ping a second this is what a drift of 50 ppm turns into 3 ms. */
const SAMPLES_MAX = 64;
const CYCLES_PER_NS_SCALE = 1_000_000n;

/** One answered ping: the peer's clocks were read somewhere between `sent_ns` and `received_ns`. */
export interface Sample {
  sent_ns: bigint;
  received_ns: bigint;
  cycles: bigint;
  realtime_ns: bigint;
}

/**
 * Places a peer's clocks on our monotonic axis. The sample with the shortest round trip is the best
 * one: it errs by at most half of that round trip. See docs/decisions/0005.
 */
export class Offsets {
  readonly cycles_khz: bigint;
  #samples: Sample[] = [];
  /** How many were ever added. */
  added = 0;

  constructor(cycles_khz: bigint) {
    this.cycles_khz = cycles_khz;
  }

  add(pong: PongMessage, sent_ns: bigint, received_ns: bigint): void {
    const { cycles, realtime_ns } = pong;
    this.added++;
    this.#samples.push({ sent_ns, received_ns, cycles, realtime_ns });
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
  }

  best(): Sample | undefined {
    let best: Sample | undefined;
    for (const sample of this.#samples) {
      if (!best || roundTrip_ns(sample) < roundTrip_ns(best)) best = sample;
    }
    return best;
  }

  /** Where the peer's cycle counter stood at `cycles`, on our axis; undefined if not known. */
  toMonotonic_ns(cycles: bigint): bigint | undefined {
    const sample = this.best();
    if (!sample || this.cycles_khz === 0n) return undefined;
    const elapsed = cycles - sample.cycles;
    return middle_ns(sample) + (elapsed * CYCLES_PER_NS_SCALE) / this.cycles_khz;
  }

  /** The peer's wall clock less our monotonic clock. */
  realtimeOffset_ns(): bigint | undefined {
    const sample = this.best();
    return sample && sample.realtime_ns - middle_ns(sample);
  }
}

function roundTrip_ns({ sent_ns, received_ns }: Sample): bigint {
  return received_ns - sent_ns;
}

function middle_ns({ sent_ns, received_ns }: Sample): bigint {
  return sent_ns + (received_ns - sent_ns) / 2n;
}
