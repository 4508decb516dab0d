/** The orchestrator's own time axis: CLOCK_MONOTONIC in nanoseconds. */
export function now_ns(): bigint {
  return process.hrtime.bigint();
}

/** Milliseconds with three digits behind the point, enough for any figure that is shown. */
export function toMs(duration_ns: bigint): number {
  return Number(duration_ns / 1000n) / 1000;
}
