/**
 * Migrations whose end was recorded before everybody was heard. Peers that come back are answered
 * (standing.ts). These may never come back, because they did what they were meant to do: a source that
 * has thawed by itself, a target whose last word was lost. Their agents know.
 */
import { toPmsmError } from '../../agent/wire/errors.ts';
import type { Site } from './site.ts';
import { releaseLate, resolveThawed, resolveWaiting } from './standing.ts';

/** Looks from time to time; call the result to stop. */
export function watchLooseEnds(site: Site): () => Promise<void> {
  let looking: Promise<void> | undefined;
  const timer = setInterval(() => {
    looking ??= tieLooseEnds(site)
      .catch((error: unknown) => {
        site.log.error({ err: toPmsmError(error) }, 'a loose end stays loose');
      })
      .finally(() => {
        looking = undefined;
      });
  }, site.patience.look_ms);
  return async () => {
    clearInterval(timer);
    await looking;
  };
}

async function tieLooseEnds(site: Site): Promise<void> {
  for (const { id, state, decision, source, target } of site.store.list()) {
    const standby = site.registry.standby(target);
    // Its word may have come when the doubt was not on record yet.
    if (state === 'in-doubt' && decision === 'commit' && standby?.waiting) {
      await resolveWaiting(site, standby);
    }
    const doubt = state === 'in-doubt' && decision === 'source';
    const unheard = state === 'moved' && decision === 'go';
    if (doubt && (await runs(site, source))) await resolveThawed(site, id);
    if (unheard && (await runs(site, target))) await releaseLate(site, id);
  }
}

/**
 * An agent that answers is thawed, and its network is not cut off. It is the one that is meant: no other attempt begins
 * with a machine of one that is not settled (workflow.ts), and it says its name. A standby has none.
 */
async function runs(site: Site, name: string): Promise<boolean> {
  const machine = site.config.machines.find((one) => one.name === name);
  if (!machine || site.registry.standby(name)) return false;
  return (await site.agents.name(machine)) === name;
}
