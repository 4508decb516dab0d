import { errorFromNumber, PmsmError } from '../../agent/wire/errors.ts';
import type { Attempt } from './attempt.ts';

/** Throws what ends an attempt before commit, whoever noticed it first. */
export function requireBothSides(attempt: Attempt): void {
  const { source, standby } = attempt;
  if (attempt.cancelled) throw new PmsmError('cancelled');
  if (standby.error) throw standby.error;
  if (source.error) throw source.error;
  const thawed = source.said('thawed');
  if (thawed) throw errorFromNumber(thawed.code, 'the source has thawed');
  if (source.lost) throw new PmsmError('source-lost', 'its control link broke');
  if (standby.said('waiting')) throw new PmsmError('target-lost', 'it has dropped the attempt');
  if (standby.lost) throw new PmsmError('target-lost', 'its control link broke');
}

/** The standby's kernel refused to jump, or the machine is a standby again: it runs no image. */
export function targetIsIdle(attempt: Attempt): boolean {
  return attempt.standby.said('not_jumped') !== undefined || attempt.standby_returned;
}
