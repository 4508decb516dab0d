import type { MigrationEvent } from '../store/record.ts';
import { formatBytes, formatMs, paint } from './format.ts';

const TICK_MS = 100;
const NAME_WIDTH = 11;
const CLEAR_LINE = '\r\u001b[K';

/**
 * Shows a migration on stderr as it goes: a line for each phase that has ended and, on a terminal,
 * one more that is rewritten for the phase that runs.
 */
export class Progress {
  readonly #stream: NodeJS.WriteStream;
  #running: { phase: string; side: string; since_ms: number; more?: string } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failed = false;
  #sendBegan_ms: number | undefined;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  show(event: MigrationEvent): void {
    const { kind, data } = event;
    if (kind === 'phase' && data.edge === 'begin') this.#begin(event);
    else if (kind === 'phase') this.#end(event);
    else if (kind === 'measure') this.#say(describeMeasure(data, this.#sendDuration_ms(event)));
    else if (kind === 'round') this.#round(data);
    else if (kind === 'note') this.#note(data);
  }

  /** Leaves the terminal as it was found. */
  close(): void {
    clearInterval(this.#timer);
    if (this.#running && this.#stream.isTTY) this.#stream.write(CLEAR_LINE);
    this.#running = undefined;
  }

  #begin({ data, elapsed_ms }: MigrationEvent): void {
    const phase = String(data.phase);
    if (phase === 'send') this.#sendBegan_ms = elapsed_ms;
    this.#running = { phase, side: String(data.side), since_ms: performance.now() };
    if (!this.#stream.isTTY) return;
    this.#draw();
    this.#timer ??= setInterval(() => this.#draw(), TICK_MS);
  }

  #end({ data }: MigrationEvent): void {
    this.#running = undefined;
    if (data.failed === true) return;
    const took = formatMs(Number(data.duration_ms)).padStart(10);
    const line = `${String(data.phase).padEnd(NAME_WIDTH)} ${took}  ${data.side}`;
    this.#say(`${paint('green', '+', this.#stream)} ${line}`);
  }

  /** On a terminal the round that runs is part of the line that is rewritten. */
  #round(data: MigrationEvent['data']): void {
    const text = describeRound(data);
    if (data.state === 'complete') this.#say(`  ${text}`);
    else if (this.#running) this.#running.more = text;
  }

  #note(data: MigrationEvent['data']): void {
    if (data.failed !== undefined) {
      this.#failed = true;
      const text = `${data.failed} failed: ${data.code} ${data.detail}`;
      this.#say(`${paint('red', '-', this.#stream)} ${text.trimEnd()}`);
    } else if (typeof data.fencing === 'string') {
      this.#say(`  fencing ${data.fencing}`);
    } else if (typeof data.fence === 'string') {
      this.#say(`  ${data.fence}`);
    } else if (typeof data.resolved === 'string') {
      this.#say(`  ${data.resolved}`);
    }
  }

  #sendDuration_ms({ elapsed_ms }: MigrationEvent): number | undefined {
    return this.#sendBegan_ms === undefined ? undefined : elapsed_ms - this.#sendBegan_ms;
  }

  #say(line: string): void {
    if (line === '') return;
    if (this.#stream.isTTY) this.#stream.write(CLEAR_LINE);
    this.#stream.write(`${line}\n`);
  }

  #draw(): void {
    if (!this.#running || this.#failed) return;
    const { phase, side, since_ms, more } = this.#running;
    const elapsed = formatMs(performance.now() - since_ms).padStart(10);
    const line = `${phase.padEnd(NAME_WIDTH)} ${elapsed}  ${side}${more ? `  ${more}` : ''}`;
    this.#stream.write(`${CLEAR_LINE}${paint('cyan', '~', this.#stream)} ${line}`);
  }
}

/** One round of the pre-copy: what it has sent, and when it is over, what that promises. */
function describeRound(data: MigrationEvent['data']): string {
  const { number, state, elapsed_ms, frames, frames_total, wire_bytes, bytes_per_s } = data;
  const rate = bytes_per_s === null ? '' : `, ${formatBytes(Number(bytes_per_s))}/s`;
  const sent = `${formatBytes(Number(wire_bytes))} on the wire${rate}`;
  if (state !== 'complete') {
    const share = Math.min(
      100,
      Math.floor((Number(frames) * 100) / Math.max(1, Number(frames_total))),
    );
    return `round ${number}: ${share} %, ${sent}`;
  }
  const predicted = formatMs(Number(data.predicted_downtime_ms));
  const changed = `${data.changed} of ${frames} pages`;
  const slower = Number(data.throttled) > 0 ? `; services slowed down ${data.throttled} x` : '';
  const took = formatMs(Number(elapsed_ms));
  return `round ${number}: ${changed} in ${took}, ${sent}; predicted downtime ${predicted}${slower}`;
}

/** What the helper measured before the window, or what was sent in it. */
function describeMeasure(data: MigrationEvent['data'], sending_ms: number | undefined): string {
  const bytes = (key: string): string => formatBytes(Number(data[key] ?? 0));
  if (data.codec !== undefined) {
    const used = `${bytes('used_bytes')} of ${bytes('total_bytes')} in use`;
    return `  ${used}, codec ${data.codec}, link ${bytes('link_bytes_per_s')}/s`;
  }
  if (data.image_bytes === undefined) return '';
  const rate =
    sending_ms && sending_ms > 0
      ? `, ${formatBytes((Number(data.wire_bytes) / sending_ms) * 1000)}/s`
      : '';
  return `  image ${bytes('image_bytes')}, ${bytes('wire_bytes')} on the wire${rate}`;
}
