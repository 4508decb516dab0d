/**
 * The artefact cache: what is built is kept under the digest of everything it was built from.
 *
 * An artefact is a directory `<name>-<digest>`. It is built beside its place and renamed into it when complete, so a
 * directory of that name is always whole. Two processes that want the same one wait for each other.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { resolve } from 'node:path';
import { PmsmError } from '../agent/wire/errors.ts';
import { onInterrupt, wasInterrupted } from './cleanup.ts';
import { cacheDirectory, inTree } from './paths.ts';
import { CommandError, type RunOptions, run, tether } from './processes.ts';
import { bytesText, type Progress, type Step } from './progress.ts';

/** How many artefacts of one name are kept; the least recently used go first. */
const KEEP = 3;
const DIGEST_LENGTH = 12;

export interface Artefact {
  name: string;
  digest: string;
  directory: string;
  path: (file: string) => string;
}

/** A file of the tree that goes into an artefact by its content, and by its name relative to the tree. */
export interface FileInput {
  file: string;
}

export type Input = string | number | boolean | FileInput | Artefact | Input[];

export interface BuildContext {
  /** Everything the build says goes here; it is kept beside a failed build. */
  log: string;
  step: Step;
  digest: string;
  run: (argv: string[], options?: Omit<RunOptions, 'log'>) => Promise<string>;
}

export interface Recipe {
  name: string;
  /** Shown while it is built. */
  title: string;
  inputs: Record<string, Input>;
  /** How many artefacts of this name are kept, for very large ones. */
  keep?: number;
  build: (directory: string, context: BuildContext) => Promise<void>;
}

/** Returns the artefact, building it first if the cache does not hold it. */
export async function cached(recipe: Recipe, progress: Progress): Promise<Artefact> {
  const digest = digestOf(recipe.inputs);
  const directory = resolve(cacheDirectory(), `${recipe.name}-${digest}`);
  const artefact: Artefact = {
    name: recipe.name,
    digest,
    directory,
    path: (file) => resolve(directory, file),
  };
  if (isComplete(directory)) return touch(artefact);
  const unlock = await lock(`${recipe.name}-${digest}`, progress);
  try {
    if (!isComplete(directory)) await buildArtefact(recipe, artefact, progress);
  } finally {
    unlock();
  }
  prune(recipe.name, recipe.keep ?? KEEP, progress);
  return touch(artefact);
}

export function digestOf(inputs: Record<string, Input>): string {
  const hash = createHash('sha256');
  for (const label of Object.keys(inputs).sort()) {
    hash.update(`${label}=${describeInput(inputs[label] as Input)}\n`);
  }
  return hash.digest('hex').slice(0, DIGEST_LENGTH);
}

/** For files outside the tree, whose names say nothing. */
export function digestOfFile(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, DIGEST_LENGTH);
}

function describeInput(input: Input): string {
  if (Array.isArray(input)) return `[${input.map(describeInput).join(',')}]`;
  if (typeof input !== 'object') return JSON.stringify(input);
  if ('digest' in input) return `${input.name}-${input.digest}`;
  const content = createHash('sha256')
    .update(readFileSync(inTree(input.file)))
    .digest('hex');
  return `${input.file}:${content}`;
}

/** Every file below a directory of the tree, as inputs; what a build leaves there is none of it. */
export function filesBelow(directory: string, wanted: (file: string) => boolean): FileInput[] {
  const found = readdirSync(inTree(directory), { recursive: true, encoding: 'utf8' })
    .map((file) => `${directory}/${file}`)
    .filter((file) => wanted(file) && statSync(inTree(file)).isFile());
  return found.sort().map((file) => ({ file }));
}

async function buildArtefact(
  recipe: Recipe,
  artefact: Artefact,
  progress: Progress,
): Promise<void> {
  const temporary = `${artefact.directory}.${process.pid}.part`;
  const log = resolve(cacheDirectory(), `${recipe.name}-${artefact.digest}.log`);
  const discard = async (): Promise<void> => {
    await run(['rm', '-rf', '--one-file-system', temporary]);
  };
  removeAbandoned(recipe.name);
  rmSync(log, { force: true });
  mkdirSync(temporary, { recursive: true });
  const forget = onInterrupt(async () => {
    await discard();
    rmSync(log, { force: true });
  });
  try {
    await progress.step(recipe.title, async (step) => {
      await recipe.build(temporary, {
        log,
        step,
        digest: artefact.digest,
        run: (argv, options) => run(argv, { ...options, log }),
      });
    });
    writeFileSync(resolve(temporary, 'complete'), '');
    renameSync(temporary, artefact.directory);
    rmSync(log, { force: true });
  } catch (error) {
    // On an interrupt the cleanup removes the half artefact and the process leaves; nobody needs an error then.
    if (wasInterrupted()) await new Promise(() => undefined);
    await discard();
    if (!(error instanceof CommandError)) throw error;
    throw new PmsmError('build-failed', `${recipe.name}: ${error.message}. The log is ${log}`);
  } finally {
    forget();
  }
}

function isComplete(directory: string): boolean {
  return existsSync(resolve(directory, 'complete'));
}

/** The time of the last use decides what is pruned. */
function touch(artefact: Artefact): Artefact {
  const now = new Date();
  utimesSync(artefact.path('complete'), now, now);
  return artefact;
}

/** Half artefacts of processes that were killed without a chance to clean up. */
function removeAbandoned(name: string): void {
  const pattern = new RegExp(`^${name}-[0-9a-f]{${DIGEST_LENGTH}}\\.(\\d+)\\.part$`);
  for (const entry of readdirSync(cacheDirectory())) {
    const pid = pattern.exec(entry)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    rmSync(resolve(cacheDirectory(), entry), { recursive: true, force: true });
  }
}

function prune(name: string, keep: number, progress: Progress): void {
  const pattern = new RegExp(`^${name}-[0-9a-f]{${DIGEST_LENGTH}}$`);
  const uses = readdirSync(cacheDirectory())
    .filter((entry) => pattern.test(entry) && isComplete(resolve(cacheDirectory(), entry)))
    .map((entry) => resolve(cacheDirectory(), entry))
    .map((directory) => ({ directory, used_ms: statSync(`${directory}/complete`).mtimeMs }))
    .sort((a, b) => b.used_ms - a.used_ms);
  for (const { directory } of uses.slice(keep)) {
    const bytes = sizeOf(directory);
    rmSync(directory, { recursive: true, force: true });
    progress.note(`Removed the old artefact ${directory} (${bytesText(bytes)})`);
  }
}

/** What a directory takes on the disk. */
export function sizeOf(directory: string): number {
  let bytes = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += statSync(resolve(entry.parentPath, entry.name)).blocks * 512;
  }
  return bytes;
}

/**
 * A lock that dies with its holder: the kernel releases it, so there is no stale one to detect. Node cannot call
 * flock(2), so `flock` holds it and waits for our end of a pipe to close, which also happens when we are killed.
 */
export async function lock(name: string, progress: Progress): Promise<() => void> {
  const directory = resolve(cacheDirectory(), 'locks');
  mkdirSync(directory, { recursive: true });
  const file = resolve(directory, name);
  const first = await tryLock(file, ['--nonblock']);
  if (first) return first;
  const locked = await progress.step(`Waiting for another process that makes ${name}`, () =>
    tryLock(file, []),
  );
  if (!locked) throw new PmsmError('build-failed', `the lock ${file} cannot be taken`);
  return locked;
}

function tryLock(file: string, options: string[]): Promise<(() => void) | undefined> {
  const argv = ['flock', ...options, '--no-fork', file, 'sh', '-c', 'echo locked; exec cat'];
  const [program, ...args] = tether(argv);
  const holder = spawn(program, args, { detached: true, stdio: ['pipe', 'pipe', 'ignore'] });
  return new Promise((done, reject) => {
    holder.once('error', reject);
    holder.once('close', () => done(undefined));
    holder.stdout.once('data', () => done(() => holder.stdin.end()));
  });
}
