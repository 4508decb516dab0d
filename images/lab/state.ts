/**
 * What is known of a running lab outside the process that runs it: `lab.json` in the lab's run directory. Commands such
 * as `lab ssh` read it; it names processes by pid and start time, so that a stale one is seen as such.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { z } from 'zod';
import { PmsmError } from '../../agent/wire/errors.ts';
import { labOptionsSchema } from '../options.ts';
import { isAlive } from '../processes.ts';

const processSchema = z.strictObject({ pid: z.int(), started: z.string() });

const machineSchema = z.strictObject({
  process: processSchema.nullable(),
  role: z.enum(['host', 'standby']).nullable(),
  address: z.string(),
  console: z.string(),
  tty: z.string(),
});

const stateSchema = z.strictObject({
  version: z.literal(1),
  name: z.string(),
  phase: z.enum(['starting', 'ready', 'failed']),
  error: z.string().nullable(),
  /** The process that owns everything else: all ends with it. */
  keeper: processSchema,
  network: processSchema.nullable(),
  options: labOptionsSchema,
  accelerator: z.string(),
  keys: z.string(),
  orchestrator: z.strictObject({ process: processSchema, socket: z.string() }).nullable(),
  machines: z.record(z.string(), machineSchema),
});

export type LabState = z.infer<typeof stateSchema>;

export const DEFAULT_NAME = 'default';
const NAME = /^[a-z0-9][a-z0-9-]{0,31}$/;

function runRoot(): string {
  const base = process.env.XDG_RUNTIME_DIR || tmpdir();
  return resolve(base, `pmsm-lab-${process.getuid?.()}`);
}

/** Short, since the sockets below it have at most 107 characters of path. */
export function runDirectory(name: string): string {
  if (!NAME.test(name)) {
    throw new PmsmError(
      'bad-request',
      `"${name}" cannot be the name of a lab: use a-z, 0-9 and -.`,
    );
  }
  return resolve(runRoot(), name);
}

/** Makes the run directory of a new lab; refuses while a lab of that name runs. */
export function makeRunDirectory(name: string): string {
  removeAbandonedRuns();
  const directory = runDirectory(name);
  const running = readState(name);
  if (running) {
    throw new PmsmError('bad-request', `The lab "${name}" is running already (\`lab status\`).`);
  }
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(runRoot(), 0o700);
  return directory;
}

export function writeState(state: LabState): void {
  const file = resolve(runDirectory(state.name), 'lab.json');
  writeFileSync(`${file}.new`, `${JSON.stringify(state, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}

/** The state of a lab whose keeper lives; undefined if there is none. */
export function readState(name: string): LabState | undefined {
  let text: string;
  try {
    text = readFileSync(resolve(runDirectory(name), 'lab.json'), 'utf8');
  } catch {
    return undefined;
  }
  const parsed = stateSchema.safeParse(JSON.parse(text));
  return parsed.success && isAlive(parsed.data.keeper) ? parsed.data : undefined;
}

export function requireState(name: string): LabState {
  const state = readState(name);
  if (!state) throw new PmsmError('lab-not-running', name === DEFAULT_NAME ? '' : `(${name})`);
  return state;
}

function removeAbandonedRuns(): void {
  if (!existsSync(runRoot())) return;
  for (const name of readdirSync(runRoot())) {
    const file = resolve(runRoot(), name, 'lab.json');
    // A directory without a state is being made by another process right now.
    if (!NAME.test(name) || !existsSync(file) || readState(name)) continue;
    rmSync(resolve(runRoot(), name), { recursive: true, force: true });
  }
}
