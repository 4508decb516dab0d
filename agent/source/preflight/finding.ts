import { ERRORS, type ErrorCode } from '../../wire/errors.ts';
import type { Finding } from '../api/schemas.ts';
import type { Facts } from '../facts.ts';
import type { Surroundings } from '../surroundings.ts';

/** One question to this machine; facts are undefined if the helper could not tell them. */
export type Probe = (surroundings: Surroundings, facts: Facts | undefined) => Promise<Finding[]>;

const NAMED_MAX = 5;

export function ok(code: ErrorCode, found: string, why: string): Finding[] {
  return [{ code, severity: 'ok', found, why, remedy: '' }];
}

export function refuse(code: ErrorCode, found: string, why: string, remedy?: string): Finding {
  return { code, severity: 'refuse', found, why, remedy: remedy ?? ERRORS[code].remedy };
}

export function warn(code: ErrorCode, found: string, why: string, remedy?: string): Finding {
  return { code, severity: 'warn', found, why, remedy: remedy ?? ERRORS[code].remedy };
}

/** Names the first few and counts the rest. */
export function listed(names: readonly string[]): string {
  const more = names.length - NAMED_MAX;
  const named = names.slice(0, NAMED_MAX).join(', ');
  return more > 0 ? `${named} and ${more} more` : named;
}
