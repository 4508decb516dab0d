// Small conversions between what the wire holds and what people and libraries use.

import { isIPv4 } from 'node:net';
import { PmsmError } from './errors.ts';
import { PHASE_BY_NAME, type PhaseName, STEPS, type StepName } from './phases.gen.ts';
import { type ErrorMessage, LIMITS } from './wire.gen.ts';

/** The attempt id of a standby that waits. */
export const NO_ATTEMPT = '0'.repeat(32);

/** '10.0.1.1' as the wire's u32: network byte order in memory. */
export function addressToWire(address: string): number {
  if (!isIPv4(address)) {
    throw new PmsmError('bad-request', `${JSON.stringify(address)} is not an IPv4 address.`);
  }
  return Buffer.from(address.split('.').map(Number)).readUInt32LE(0);
}

export function addressFromWire(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return [...bytes].join('.');
}

/** The number of a phase or step on the wire. */
export function phaseNumber(name: PhaseName | StepName): number {
  const step = STEPS.find((row) => row.name === name);
  return step?.number ?? PHASE_BY_NAME[name as PhaseName].number;
}

/** The message that tells a peer of `error`. The detail is cut to what the wire allows, between two characters. */
export function errorMessage(error: PmsmError, phase?: PhaseName | StepName): ErrorMessage {
  return {
    type: 'error',
    code: error.number,
    phase: phase === undefined ? 0 : phaseNumber(phase),
    system_errno: 0,
    detail: cutText(error.detail, LIMITS.detail_bytes),
  };
}

/** At most `bytes` bytes of `text` in UTF-8, cut between two characters. */
export function cutText(text: string, bytes: number): string {
  const encoded = new TextEncoder().encodeInto(text, new Uint8Array(bytes));
  return text.slice(0, encoded.read);
}
