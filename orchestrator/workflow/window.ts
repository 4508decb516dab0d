/** The frozen window on the source, from the quarantine to the last byte of the image. */
import { PmsmError } from '../../agent/wire/errors.ts';
import { PHASE_BY_NAME, PHASES, type PhaseName } from '../../agent/wire/phases.gen.ts';
import type { Attempt } from './attempt.ts';
import { requireBothSides } from './check.ts';
import { type Site, timeoutOf } from './site.ts';
import { transition } from './state.ts';

const FIRST_OF_WINDOW: number = PHASE_BY_NAME.quarantine.number;

export async function quarantine(site: Site, attempt: Attempt): Promise<void> {
  await transition(site.store, attempt.id, 'preparing', 'frozen');
  attempt.freeze_ordered = true;
  attempt.source.link?.send({ type: 'freeze', ...attempt.key });
  setQuiet(attempt, true);
  // Before the window the source writes its last dirty pages back, which is part of its preparation.
  await attempt.until('the window to begin', timeoutOf(site, 'prepare'), () => {
    requireBothSides(attempt);
    return attempt.stamps.some(({ phase }) => phase === FIRST_OF_WINDOW) || undefined;
  });
  await untilPast(site, attempt, 'quarantine');
}

export async function freeze(site: Site, attempt: Attempt): Promise<void> {
  await untilPast(site, attempt, 'freeze');
}

export async function snapshot(site: Site, attempt: Attempt): Promise<void> {
  try {
    await untilPast(site, attempt, 'snapshot');
  } finally {
    setQuiet(attempt, false);
  }
}

function setQuiet(attempt: Attempt, quiet: boolean): void {
  const { link } = attempt.source;
  if (link) link.quiet = quiet;
}

export async function send(site: Site, attempt: Attempt): Promise<void> {
  const sent = await attempt.until('the image to be sent', timeoutOf(site, 'send'), () => {
    requireBothSides(attempt);
    return attempt.source.said('sent');
  });
  site.events.add(attempt.id, 'measure', {
    image_bytes: Number(sent.image_bytes),
    wire_bytes: Number(sent.wire_bytes),
    wire_bytes_total: Number(sent.wire_bytes_total),
    saveable_bytes: Number(sent.saveable_bytes),
  });
}

export async function verify(site: Site, attempt: Attempt): Promise<void> {
  const ready = await attempt.until('the target to be ready', timeoutOf(site, 'verify'), () => {
    requireBothSides(attempt);
    return attempt.standby.said('ready');
  });
  const sent = attempt.source.said('sent');
  const same =
    sent?.chain === ready.chain &&
    sent.chunks === ready.chunks &&
    sent.image_bytes === ready.raw_bytes;
  if (!same) throw new PmsmError('digest-mismatch', 'the two sides disagree about the image');
}

/** The end of a phase, or anything that the source says only later. */
async function untilPast(site: Site, attempt: Attempt, name: PhaseName): Promise<void> {
  const index = PHASES.findIndex((phase) => phase.name === name);
  const own = PHASES[index]?.number;
  const later = new Set<number>(PHASES.slice(index + 1).map(({ number }) => number));
  await attempt.until(name, timeoutOf(site, name), () => {
    requireBothSides(attempt);
    const past = attempt.stamps.some(
      ({ role, phase, edge }) =>
        role === 'source' && ((phase === own && edge === 'end') || later.has(phase)),
    );
    return past || attempt.source.said('sent') ? true : undefined;
  });
}
