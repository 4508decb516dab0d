/**
 * The boot guard's question (agent/native/target/boot-guard.h): a machine that was reset in the middle of an
 * attempt asks whether it may boot from the disk. The durable records answer, nothing else.
 */
import type { Message, MessageOf } from '../../agent/wire/wire.gen.ts';
import type { Standby } from '../control/registry.ts';
import type { Migration } from '../store/record.ts';
import type { Site } from './site.ts';
import { isFinal } from './state.ts';

export function answerClaim(site: Site, standby: Standby, claim: MessageOf<'claim'>): void {
  const { attempt, generation } = claim;
  const record = site.store.get(attempt);
  const known = record && BigInt(record.generation) === generation ? record : undefined;
  const owner = known && ownerOf(known);
  const ownership = ownershipOf(owner, standby.machine.name);
  site.log.info({ attempt, machine: standby.machine.name, ownership }, 'a machine asks who it is');
  standby.link.send({ type: 'owned', attempt, generation, ownership });
  if (ownership !== 'yours' || owner !== known?.source) return;
  site.events.add(attempt, 'note', { booted: standby.machine.name });
  const running = site.registry.attempt(attempt);
  if (!running) return;
  running.source_booted = true;
  running.wake();
}

/**
 * Whose the state is for good. Without `commit` the source's, but only once the attempt has ended: until then
 * `commit` could still be recorded. After `commit` nobody's, until it is decided.
 */
export function ownerOf({ decision, state, source, target }: Migration): string | undefined {
  switch (decision) {
    case 'go':
    case 'release':
      return target;
    case 'source':
      return source;
    case 'none':
      return state === 'aborting' || isFinal(state) ? source : undefined;
    default:
      return undefined;
  }
}

function ownershipOf(
  owner: string | undefined,
  machine: string,
): Extract<Message, { type: 'owned' }>['ownership'] {
  if (owner === undefined) return 'undecided';
  return owner === machine ? 'yours' : 'another';
}
