import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { PmsmError } from '../wire/errors.ts';
import { FACTS_BYTES_MAX, type Facts, FactsSchema } from './facts.ts';

/** The largest that is read is the table of mounts. */
const FILE_CHARACTERS_MAX = 16 * 1024 * 1024;
/** Far more than a machine needs, even an emulated one that is busy. */
const COMMAND_TIMEOUT_MS = 15_000;

/**
 * The machine as the agent sees it. `root` is `/` on a host; tests put a directory with a /proc of
 * their own in its place.
 */
export interface Surroundings {
  root: string;
  /** Path of pmsm-freeze. */
  helper: string;
  /** Its disk says who owns it, so that it does not boot from it when another machine runs. */
  enrolled: boolean;
}

/** The text of a file, or undefined if it cannot be read: on a live /proc that is no error. */
export async function textOf({ root }: Surroundings, path: string): Promise<string | undefined> {
  try {
    return (await readFile(join(root, path), 'utf8')).slice(0, FILE_CHARACTERS_MAX);
  } catch {
    return undefined;
  }
}

export async function namesIn({ root }: Surroundings, path: string): Promise<string[]> {
  return await readdir(join(root, path)).catch(() => []);
}

export async function linkOf({ root }: Surroundings, path: string): Promise<string | undefined> {
  return await readlink(join(root, path)).catch(() => undefined);
}

/** What the command prints, or undefined if it does not exist or does not end well in time. */
export async function outputOf(file: string, args: string[]): Promise<string | undefined> {
  const options = { reject: false, timeout: COMMAND_TIMEOUT_MS, stdin: 'ignore' } as const;
  const result = await execa(file, args, { ...options, maxBuffer: FILE_CHARACTERS_MAX });
  return result.failed ? undefined : result.stdout;
}

/** True if the command ends well in time; a command that does not exist does not. */
export async function runs(file: string, args: string[]): Promise<boolean> {
  const options = { reject: false, timeout: COMMAND_TIMEOUT_MS, stdio: 'ignore' } as const;
  return !(await execa(file, args, options)).failed;
}

/** What the helper says about this machine; with `probe` it opens /dev/snapshot for a moment. */
export async function readFacts({ helper }: Surroundings, probe = false): Promise<Facts> {
  const result = await execa(helper, ['facts', ...(probe ? ['--probe'] : [])], {
    reject: false,
    timeout: COMMAND_TIMEOUT_MS,
    stdin: 'ignore',
    maxBuffer: 4 * FACTS_BYTES_MAX,
  });
  if (result.failed) throw new PmsmError('helper-missing', result.shortMessage ?? helper);
  return parseFacts(result.stdout, helper);
}

function parseFacts(text: string, helper: string): Facts {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new PmsmError('helper-missing', `${helper} facts: ${(error as Error).message}`);
  }
  const parsed = FactsSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0] ?? { path: [], message: '' };
  throw new PmsmError('helper-missing', `${helper} facts: ${path.join('.')}: ${message}`);
}
