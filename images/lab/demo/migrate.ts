/** Moves the machine as any user would: through the orchestrator's REST API. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PmsmError } from '../../../agent/wire/errors.ts';
import type { Host, StartRequest } from '../../../orchestrator/api/schemas.ts';
import type { Client } from '../../../orchestrator/cli/client.ts';
import type { MigrationEvent } from '../../../orchestrator/store/record.ts';
import type { Machine } from '../machine.ts';
import type { MigrationReport } from './report/schema.ts';

/** Longer than all phases may take together; the orchestrator's own limits come first. */
const MIGRATION_LIMIT_MS = 900_000;
const STATE_POLL_MS = 200;

/** What the orchestrator said of one move, with the client's clock beside it. */
export interface Moved {
  readonly report: MigrationReport;
  /** When the request left, and when its end was known here; CLOCK_MONOTONIC. */
  readonly begin_ns: bigint;
  readonly end_ns: bigint;
  /** The beginning of the quarantine, or of the request if there was none; CLOCK_MONOTONIC. */
  readonly zero_ns: bigint;
}

/** Waits until the orchestrator sees a machine in a state: it was told so a moment after we were. */
export async function waitForHost(
  orchestrator: Client,
  name: string,
  state: Host['state'],
  limit_ms: number,
): Promise<void> {
  for (const deadline = performance.now() + limit_ms; ; ) {
    const found = (await orchestrator.hosts()).find((host) => host.name === name)?.state;
    if (found === state) return;
    if (performance.now() > deadline) {
      throw new PmsmError('lab-failed', `${name} is ${found ?? 'not known'} instead of ${state}`);
    }
    await sleep(STATE_POLL_MS);
  }
}

export async function move(
  orchestrator: Client,
  order: StartRequest,
  onEvent: (event: MigrationEvent) => void,
): Promise<Moved> {
  const clock = wallClock();
  const begin_ns = process.hrtime.bigint();
  const { id } = await orchestrator.start(order);
  let planned_ns = begin_ns;
  for await (const event of orchestrator.follow(id, AbortSignal.timeout(MIGRATION_LIMIT_MS))) {
    if (isBegin(event, 'plan')) planned_ns = clock.toMonotonic(event.at);
    onEvent(event);
  }
  const end_ns = process.hrtime.bigint();
  const report = await orchestrator.report(id);
  return { report, begin_ns, end_ns, zero_ns: zeroOf(report, planned_ns) };
}

/** From the window on nobody works on the source any more, whose processors a standby must not take. */
export function comesFirst(standby: Machine, event: MigrationEvent): void {
  if (isBegin(event, 'quarantine')) standby.comeFirst();
  if (event.kind === 'end' && event.data.outcome !== 'moved') standby.standBack();
}

export function isBegin(event: MigrationEvent, phase: string): boolean {
  return event.kind === 'phase' && event.data.phase === phase && event.data.edge === 'begin';
}

/** The events carry wall time; both processes are on one machine, so one offset serves. */
function wallClock(): { toMonotonic: (at: string) => bigint } {
  const offset_ns = process.hrtime.bigint() - BigInt(Date.now()) * 1_000_000n;
  return { toMonotonic: (at) => BigInt(Date.parse(at)) * 1_000_000n + offset_ns };
}

/** `plan` is the orchestrator's own stamp, so it ties the report's axis to this machine's clock. */
export function zeroOf(report: MigrationReport, planned_ns: bigint): bigint {
  const plan = report.phases.find((phase) => phase.name === 'plan');
  if (plan === undefined) return planned_ns;
  return planned_ns - BigInt(Math.round(plan.start_ms * 1e6));
}

/** When the machine answered again at the latest, by its own stamps; for the attempt's end. */
export function settledAt(moved: Moved): bigint {
  const thaw = moved.report.phases.find((phase) => phase.name === 'thaw');
  if (moved.report.outcome !== 'moved' || thaw === undefined) return moved.end_ns;
  return moved.zero_ns + BigInt(Math.round((thaw.start_ms + thaw.duration_ms) * 1e6));
}
