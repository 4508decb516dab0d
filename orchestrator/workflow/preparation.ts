/** Phases in which the source still runs and serves. */
import { PmsmError, toPmsmError } from '../../agent/wire/errors.ts';
import { addressToWire } from '../../agent/wire/messages.ts';
import type { Attempt } from './attempt.ts';
import { requireBothSides } from './check.ts';
import { inspect } from './inspect.ts';
import { firstRefusal } from './preflight.ts';
import { type Site, timeoutOf } from './site.ts';
import { transition } from './state.ts';

const AGENT_POLL_MS = 500;
const CLOCK_SAMPLES = 6;
const CLOCK_SAMPLES_LIMIT_MS = 300;

export async function plan(site: Site, attempt: Attempt): Promise<void> {
  await transition(site.store, attempt.id, 'planned', 'preparing');
}

export async function preflight(site: Site, attempt: Attempt): Promise<void> {
  const { source_machine, target_machine } = attempt;
  const { engine: choice } = attempt.migration;
  const inspection = await inspect(site, source_machine, target_machine, choice);
  attempt.engine = inspection.engine;
  attempt.inventory = inspection.inventory;
  attempt.target_facts = inspection.target_facts;
  const remarkable = inspection.findings.filter(({ severity }) => severity !== 'ok');
  if (remarkable.length > 0) site.events.add(attempt.id, 'note', { findings: remarkable });
  const refusal = firstRefusal(inspection.findings);
  if (refusal) throw new PmsmError(refusal.code, refusal.found);
  if (attempt.cancelled) throw new PmsmError('cancelled');
}

export async function reserve(site: Site, attempt: Attempt): Promise<void> {
  const standby = site.registry.standby(attempt.target_machine.name);
  if (!standby?.waiting) throw new PmsmError('target-not-standby', attempt.target_machine.name);
  standby.waiting = false;
  attempt.attach('standby', standby.link);
  attempt.standby.link?.send({
    type: 'reserve',
    ...attempt.key,
    source_address: addressToWire(attempt.source_machine.address),
    port: site.config.stream_port,
    lease_ms: leaseOf(site, attempt),
  });
  await attempt.until(
    'the standby to be reserved',
    timeoutOf(site, 'reserve'),
    () => {
      requireBothSides(attempt);
      return attempt.standby.said('reserved');
    },
    new PmsmError('reserve-failed', 'it did not answer in time'),
  );
}

/** The stream is silent while the source prepares and while it makes its snapshot. */
function leaseOf(site: Site, attempt: Attempt): number {
  const silent_ms = timeoutOf(site, 'prepare') + timeoutOf(site, 'snapshot');
  return silent_ms + attempt.migration.options.stall_ms;
}

export async function prepare(site: Site, attempt: Attempt): Promise<void> {
  await startHelper(site, attempt);
  const stop = watchHelper(site, attempt);
  try {
    const prepared = await attempt.until('the helper', timeoutOf(site, 'prepare'), () => {
      requireBothSides(attempt);
      return attempt.source.said('prepared');
    });
    site.events.add(attempt.id, 'measure', {
      codec: prepared.codec,
      link_bytes_per_s: Number(prepared.link_bytes_per_s),
      codec_bytes_per_s: Number(prepared.codec_bytes_per_s),
      codec_ratio_permille: Number(prepared.codec_ratio_permille),
      total_bytes: Number(prepared.total_bytes),
      used_bytes: Number(prepared.used_bytes),
    });
  } finally {
    stop();
  }
  // Both have been busy: what they answered meanwhile came late, and says little about the clocks.
  const links = [attempt.source.link, attempt.standby.link];
  await Promise.all(links.map((link) => link?.sampleClocks(CLOCK_SAMPLES, CLOCK_SAMPLES_LIMIT_MS)));
  attempt.realtime_offset_ns = attempt.source.link?.offsets.realtimeOffset_ns();
}

async function startHelper(site: Site, attempt: Attempt): Promise<void> {
  const { target_machine, migration, target_facts } = attempt;
  const mac = target_facts?.migration?.mac;
  const address = site.config.control.advertise ?? attempt.standby.link?.local_address;
  if (!mac || !address) {
    throw new PmsmError('protocol-error', 'the standby did not name its migration interface');
  }
  const { codec, stall_ms, keep_cache, check } = migration.options;
  await site.agents.start(attempt.source_machine, {
    attempt_id: attempt.id,
    generation: migration.generation,
    target: {
      name: target_machine.name,
      address: target_machine.address,
      prefix: target_machine.prefix,
      mac,
      port: site.config.stream_port,
    },
    orchestrator: { address, port: site.registry.control_port },
    options: { engine: attempt.engine ?? 'full', codec, stall_ms, keep_cache, check },
  });
  attempt.helper_started = true;
}

/** A helper that ends before it has connected can tell only its agent why. */
function watchHelper(site: Site, attempt: Attempt): () => void {
  const timer = setInterval(() => {
    if (attempt.source.link) return;
    site.agents
      .attempt(attempt.source_machine, attempt.id)
      .then(({ state, code, detail }) => {
        if (state === 'running') return;
        attempt.source.error ??= new PmsmError(code ?? 'source-lost', detail);
        attempt.wake();
      })
      .catch((error: unknown) => {
        site.log.debug({ err: toPmsmError(error) }, 'the agent did not tell of its helper');
      });
  }, AGENT_POLL_MS);
  return () => clearInterval(timer);
}
