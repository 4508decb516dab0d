/**
 * Puts what source, target and orchestrator have timed on the orchestrator's axis. A helper's own
 * stamps win over what was seen from here; the patched kernel's stamps add the steps that no helper
 * can time. See docs/decisions/0005.
 */
import {
  PHASE_BY_NAME,
  PHASES,
  type PhaseName,
  type Side,
  STEPS,
  type StepName,
} from '../../agent/wire/phases.gen.ts';
import type { Edge } from '../../agent/wire/wire.gen.ts';
import { toMs } from '../clock.ts';
import type { Offsets } from '../control/offsets.ts';
import type { ReportPhase } from '../store/record.ts';
import type { Attempt, Party } from './attempt.ts';

/** Indices of the kernel's stamps, `enum snapshot_phase` in include/uapi/linux/suspend_ioctls.h. */
const KERNEL = {
  create_begin: 0,
  create_allocated: 1,
  create_devices_off: 4,
  create_syscore_off: 6,
  create_copy_end: 8,
  create_end: 13,
  restore_begin: 14,
  restore_cpus_off: 17,
  resume_begin: 19,
  resume_end: 24,
  create_sealed: 25,
} as const;
type KernelStamp = keyof typeof KERNEL;

/** These indices hold stamps of the target's counter. */
function isOfTarget(index: number): boolean {
  return index >= KERNEL.restore_begin && index <= KERNEL.resume_end;
}

/** Several beginnings: the first that was stamped. */
const KERNEL_STEPS: ReadonlyArray<[StepName, begins: KernelStamp[], end: KernelStamp]> = [
  ['preallocate', ['create_begin'], 'create_allocated'],
  ['suspend-devices', ['create_allocated'], 'create_devices_off'],
  ['compare', ['create_devices_off'], 'create_sealed'],
  ['stop-cpus', ['create_sealed', 'create_devices_off'], 'create_syscore_off'],
  ['copy', ['create_syscore_off'], 'create_copy_end'],
  ['resume-devices', ['create_copy_end'], 'create_end'],
  ['quiesce', ['restore_begin'], 'restore_cpus_off'],
  ['switch', ['restore_cpus_off'], 'resume_begin'],
  ['restore-devices', ['resume_begin'], 'resume_end'],
];

/** A stretch on the orchestrator's monotonic axis. */
interface Span {
  name: PhaseName | StepName;
  side: Side;
  begin_ns: bigint;
  end_ns: bigint;
}

export interface Timeline {
  phases: ReportPhase[];
  window_ms: number | null;
}

export function makeTimeline(attempt: Attempt): Timeline {
  const spans = collectSpans(attempt);
  const origin_ns = originOf(attempt, spans);
  if (origin_ns === undefined) return { phases: [], window_ms: null };
  const phases = spans
    .map(({ name, side, begin_ns, end_ns }) => ({
      name,
      side,
      start_ms: toMs(begin_ns - origin_ns),
      duration_ms: toMs(end_ns - begin_ns),
    }))
    .sort((a, b) => a.start_ms - b.start_ms || b.duration_ms - a.duration_ms);
  return { phases, window_ms: windowOf(attempt, spans, origin_ns) };
}

function collectSpans(attempt: Attempt): Span[] {
  const spans = new Map<string, Span>();
  const add = (span: Span | undefined): void => {
    if (span && span.end_ns >= span.begin_ns && !spans.has(span.name)) spans.set(span.name, span);
  };
  for (const { name, number, side } of [...PHASES, ...STEPS]) {
    add(stampedSpan(attempt, name, number, side));
  }
  for (const [name, begins, end] of KERNEL_STEPS) add(kernelSpan(attempt, name, begins, end));
  add(jumpSpan(attempt, spans.get('alive')));
  for (const { name, side } of PHASES) {
    const { begin_ns, end_ns } = attempt.observed.get(name) ?? {};
    if (begin_ns !== undefined && end_ns !== undefined) add({ name, side, begin_ns, end_ns });
  }
  return [...spans.values()];
}

function stampedSpan(
  attempt: Attempt,
  name: Span['name'],
  number: number,
  side: Side,
): Span | undefined {
  const begin_ns = stamp_ns(attempt, number, 'begin');
  const end_ns = stamp_ns(attempt, number, 'end');
  if (begin_ns === undefined || end_ns === undefined) return undefined;
  return { name, side, begin_ns, end_ns };
}

/** Who begins the jump is not there to end it: it ends where the image's first act begins. */
function jumpSpan(attempt: Attempt, alive: Span | undefined): Span | undefined {
  const begin_ns = stamp_ns(attempt, PHASE_BY_NAME.jump.number, 'begin');
  if (begin_ns === undefined || !alive) return undefined;
  return { name: 'jump', side: 'target', begin_ns, end_ns: alive.begin_ns };
}

function stamp_ns(attempt: Attempt, phase: number, edge: Edge): bigint | undefined {
  // The newest counts: a source that went on after an abort may stamp a phase twice.
  const stamp = attempt.stamps.findLast((one) => one.phase === phase && one.edge === edge);
  return stamp && offsetsOf(attempt, attempt.party(stamp.role))?.toMonotonic_ns(stamp.cycles);
}

function kernelSpan(
  attempt: Attempt,
  name: StepName,
  begins: KernelStamp[],
  end: KernelStamp,
): Span | undefined {
  const begin_ns = begins
    .map((begin) => kernelStamp_ns(attempt, KERNEL[begin]))
    .find((at) => at !== undefined);
  const end_ns = kernelStamp_ns(attempt, KERNEL[end]);
  const side = STEPS.find((step) => step.name === name)?.side;
  if (begin_ns === undefined || end_ns === undefined || !side) return undefined;
  return { name, side, begin_ns, end_ns };
}

/** The source can tell its own steps; the image brings what it had reached when it was copied. */
function kernelStamp_ns(attempt: Attempt, index: number): bigint | undefined {
  const { source, resumed } = attempt;
  const ofTarget = isOfTarget(index);
  const own = (ofTarget ? resumed : source).said('kernel_stamps')?.cycles[index];
  const cycles = own || resumed.said('kernel_stamps')?.cycles[index];
  if (!cycles) return undefined;
  return offsetsOf(attempt, ofTarget ? resumed : source)?.toMonotonic_ns(cycles);
}

/** The resumed machine counts on with the standby's counter, whose samples are the better ones. */
function offsetsOf(attempt: Attempt, party: Party): Offsets | undefined {
  if (party.role === 'source') return party.offsets;
  const { standby, resumed } = attempt;
  const candidates = [standby.offsets, resumed.offsets].filter((one) => one?.best() !== undefined);
  const [first, second] = candidates;
  if (first && second && first.cycles_khz !== second.cycles_khz) return party.offsets;
  return first ?? second;
}

function originOf(attempt: Attempt, spans: Span[]): bigint | undefined {
  const quarantine = spans.find(({ name }) => name === 'quarantine');
  if (quarantine) return quarantine.begin_ns;
  const first = attempt.observed.values().next().value;
  return first?.begin_ns;
}

/** From the quarantine to the thaw, of whichever machine thawed in the end. */
function windowOf(attempt: Attempt, spans: Span[], origin_ns: bigint): number | null {
  if (!spans.some(({ name }) => name === 'quarantine')) return null;
  const { resumed, source } = attempt;
  const stamped = attempt.stamps.some(({ role, phase }) => role === 'resumed' && phase === THAW);
  const thaw = stamped ? spans.find(({ name }) => name === 'thaw') : undefined;
  const end_ns = thaw?.end_ns ?? resumed.heardAt_ns('thawed') ?? source.heardAt_ns('thawed');
  return end_ns === undefined ? null : Math.max(0, toMs(end_ns - origin_ns));
}

const THAW = PHASES.find(({ name }) => name === 'thaw')?.number;
