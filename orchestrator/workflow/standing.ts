/**
 * Answers those who belong to an attempt that does not run here any more: after a restart, or when
 * a peer was away while its attempt ended. The record decides; what it does not decide is answered
 * with silence, so that neither side moves.
 */
import { PmsmError, toPmsmError } from '../../agent/wire/errors.ts';
import type { Message, MessageOf } from '../../agent/wire/wire.gen.ts';
import type { Link } from '../control/link.ts';
import type { Standby } from '../control/registry.ts';
import type { Migration } from '../store/record.ts';
import type { Site } from './site.ts';
import { transition } from './state.ts';

/** An attempt's source or resumed machine has connected and nobody here runs that attempt. */
export function answerStranger(site: Site, link: Link): void {
  const { attempt, generation, role } = link.hello as MessageOf<'hello'>;
  const record = site.store.get(attempt);
  if (role === 'standby' && !record) {
    // An image that nobody here has ordered: it must not keep the standby busy.
    const code = new PmsmError('protocol-error').number;
    link.send({ type: 'abort', attempt, generation, code });
    return;
  }
  if (!record || BigInt(record.generation) !== generation) {
    link.fail(new PmsmError('protocol-error', 'this attempt is not known here'));
    return;
  }
  listenOn(site, link);
  const order = standingOrder(site, record, role);
  site.log.info({ attempt, role, order: order?.type ?? 'none' }, 'peer of an earlier attempt');
  if (order) link.send(order);
}

/** A peer's last word may come after its attempt has ended here. */
export function listenOn(site: Site, link: Link): void {
  const id = link.hello?.attempt ?? '';
  link.on('message', (message) => {
    hear(site, id, link, message).catch((error: unknown) => {
      site.log.error({ attempt: id, err: toPmsmError(error) }, 'a late message failed');
    });
  });
}

/** What the durable decision allows; undefined if it allows nothing. */
export function standingOrder(
  site: Pick<Site, 'config'>,
  record: Migration,
  role: 'source' | 'standby' | 'resumed',
): Message | undefined {
  const key = { attempt: record.id, generation: BigInt(record.generation) };
  if (role === 'source') {
    if (record.decision === 'source') return { type: 'thaw', ...key };
    if (record.decision === 'none') {
      return { type: 'abort', ...key, code: new PmsmError('restarted').number };
    }
    if (record.decision !== 'release') return undefined;
    return { type: 'release', ...key, action: site.config.release_action };
  }
  if (role === 'standby') {
    // A standby that says hello has not jumped. From doubt there is no way to go, so its image is of no use to anybody,
    // and once it is dropped the source may run. In an attempt that goes on it is all that may be left of the machine.
    const doubt = record.decision === 'commit' && record.state === 'in-doubt';
    const useless = record.decision === 'none' || record.decision === 'source' || doubt;
    const code = new PmsmError('restarted').number;
    return useless ? { type: 'abort', ...key, code } : undefined;
  }
  const goes = record.decision === 'go' || record.decision === 'release';
  if (role === 'resumed' && goes) return { type: 'go', ...key, realtime_ns: 0n };
  return undefined;
}

async function hear(site: Site, id: string, link: Link, message: Message): Promise<void> {
  if (message.type !== 'thawed' || message.attempt !== id) return;
  if (link.hello?.role === 'source') await resolveThawed(site, id);
  else await releaseLate(site, id);
}

/** The target was heard to run, after its migration had ended here: now the source may be let go. */
export async function releaseLate(site: Site, id: string, why = 'the target runs'): Promise<void> {
  const record = site.store.get(id);
  if (record?.state !== 'moved' || record.decision !== 'go') return;
  await transition(site.store, id, 'moved', 'moved', { decision: 'release' });
  site.events.add(id, 'note', { released: why });
  tellSource(site, id);
}

/** What the record says now; a source that is not connected hears it when it connects. */
function tellSource(site: Site, id: string): void {
  const record = site.store.get(id);
  const order = record && standingOrder(site, record, 'source');
  for (const link of site.registry.strangers(id)) {
    if (order && link.hello?.role === 'source') link.send(order);
  }
}

/** The source that owns the state runs again: the doubt is over. */
export async function resolveThawed(
  site: Site,
  id: string,
  why = 'the source runs again',
): Promise<void> {
  const record = site.store.get(id);
  if (record?.state !== 'in-doubt' || record.decision !== 'source') return;
  const report = record.report && {
    ...record.report,
    outcome: 'rolled-back' as const,
    owner: 'source' as const,
  };
  await transition(site.store, id, 'in-doubt', 'rolled-back', { report });
  site.events.add(id, 'note', { resolved: why });
}

/**
 * The target of an attempt in doubt waits as a standby, with nothing of any attempt in its hands:
 * it does not run the image and never will. So the source owns the state, and may be told.
 */
export async function resolveWaiting(site: Site, standby: Standby): Promise<void> {
  const doubtful = site.store
    .list()
    .filter(({ target, state }) => target === standby.machine.name && state === 'in-doubt')
    .filter(({ decision }) => decision === 'commit');
  for (const migration of doubtful) {
    await giveToSource(site, migration, 'the target waits as a standby');
  }
}

/**
 * A person has made certain that one of the machines is off.
 *
 * The target of an attempt in doubt: the source has lost nothing, since the target was never told to go, and may run
 * again. The source of an attempt that is not settled in another way: it was waited for in vain, or it is the last copy
 * of a machine whose target was told to go and never heard again, which must not run any more. That ends the attempt.
 */
export async function resolveByPerson(
  site: Site,
  id: string,
  off: 'target' | 'source',
): Promise<Migration> {
  const migration = site.store.get(id);
  if (!migration) throw new PmsmError('unknown-migration', id);
  const { state, decision } = migration;
  if (off === 'target') {
    if (state !== 'in-doubt') throw new PmsmError('bad-request', `${id} is ${state}, not in doubt`);
    return await giveToSource(site, migration, 'a person has made certain that the target is off');
  }
  if (state === 'moved' && decision === 'go') await releaseLate(site, id, 'a person let it go');
  else if (state === 'in-doubt' && decision === 'source')
    await resolveThawed(site, id, 'it is off');
  else throw new PmsmError('bad-request', `${id} is ${state}, and nothing waits for its source`);
  return site.store.get(id) ?? migration;
}

/** Durable first; then a source that is connected hears it at once, another when it connects. */
async function giveToSource(site: Site, { id }: Migration, why: string): Promise<Migration> {
  const record = await transition(site.store, id, 'in-doubt', 'in-doubt', { decision: 'source' });
  site.events.add(id, 'note', { resolved: why });
  tellSource(site, id);
  // It may hold the image still, and connected anew while nothing was decided.
  const standby = site.registry.standby(record.target);
  const drop = standingOrder(site, record, 'standby');
  if (standby && drop) standby.link.send(drop);
  return record;
}
