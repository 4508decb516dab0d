/**
 * An append-only file of JSON lines. `append` resolves when the line is on the disk (fdatasync),
 * `note` hands a line to the kernel soon. Lines that arrive while the disk is busy share the next
 * fdatasync.
 *
 * What can go wrong, and what then holds:
 * - The process or the machine dies in a write: the torn end is cut at the next start. A line that
 *   was acknowledged is never torn.
 * - The disk is full: what was written of the batch is cut off again, the callers are told, and the
 *   journal goes on once there is space.
 * - fdatasync fails: nobody knows what is on the disk, so the journal takes nothing any more. The batch
 *   is cut off as far as that goes, since a decision that its caller was refused must not be found at
 *   the next start.
 */
import { type FileHandle, open, rename, statfs, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PmsmError } from '../../agent/wire/errors.ts';
import { type Line, LineSchema } from './record.ts';

export const JOURNAL_NAME = 'journal.ndjson';
export const JOURNAL_BYTES_MAX = 64 * 1024 * 1024;
export const LINE_BYTES_MAX = 256 * 1024;
/** Commit and go must find space: a migration does not begin with less than this. */
export const FREE_BYTES_MIN = 4 * 1024 * 1024;
const NEWLINE = 0x0a;
const QUEUE_MAX = 10_000;

/** The part of a file that a journal needs; tests put a full disk in its place. */
export interface JournalFile {
  write(data: Uint8Array, position: number): Promise<number>;
  datasync(): Promise<void>;
  truncate(bytes: number): Promise<void>;
  close(): Promise<void>;
}

interface Pending {
  data: Buffer;
  durable: boolean;
  resolve: () => void;
  reject: (error: PmsmError) => void;
}

export class Journal {
  readonly #file: JournalFile;
  #size_bytes: number;
  #queue: Pending[] = [];
  #busy: Promise<void> | undefined;
  #broken: PmsmError | undefined;

  constructor(file: JournalFile, size_bytes: number) {
    this.#file = file;
    this.#size_bytes = size_bytes;
  }

  get size_bytes(): number {
    return this.#size_bytes;
  }

  append(line: Line): Promise<void> {
    return this.#add(line, true);
  }

  /** Not durable; a failure shows with the next `append`. */
  note(line: Line): void {
    this.#add(line, false).catch(() => {
      // An event that is not on the disk is still in memory, and decides nothing.
    });
  }

  async close(): Promise<void> {
    while (this.#busy) await this.#busy;
    await this.#file.close();
  }

  #add(line: Line, durable: boolean): Promise<void> {
    if (this.#broken) return Promise.reject(this.#broken);
    const data = Buffer.from(`${JSON.stringify(line)}\n`);
    if (data.length > LINE_BYTES_MAX || this.#queue.length >= QUEUE_MAX) {
      return Promise.reject(new PmsmError('internal', `a record of ${data.length} bytes`));
    }
    if (this.#size_bytes + data.length > JOURNAL_BYTES_MAX) {
      const limit = `the journal has reached its limit of ${JOURNAL_BYTES_MAX} bytes`;
      return Promise.reject(new PmsmError('no-space', limit));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ data, durable, resolve, reject });
      this.#busy ??= this.#drain().finally(() => {
        this.#busy = undefined;
      });
    });
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      this.#queue = [];
      await this.#writeBatch(batch);
    }
  }

  async #writeBatch(batch: Pending[]): Promise<void> {
    const failure = this.#broken ?? (await this.#tryWrite(batch));
    for (const pending of batch) {
      if (failure) pending.reject(failure);
      else pending.resolve();
    }
  }

  async #tryWrite(batch: Pending[]): Promise<PmsmError | undefined> {
    const data = Buffer.concat(batch.map((pending) => pending.data));
    try {
      let written_bytes = 0;
      while (written_bytes < data.length) {
        const rest = data.subarray(written_bytes);
        written_bytes += await this.#file.write(rest, this.#size_bytes + written_bytes);
      }
    } catch (error) {
      return this.#cutOff(error);
    }
    try {
      if (batch.some((pending) => pending.durable)) await this.#file.datasync();
    } catch (error) {
      this.#broken = diskError(error, 'the disk did not confirm a record');
      await this.#forget();
      return this.#broken;
    }
    this.#size_bytes += data.length;
    return undefined;
  }

  /** What a disk makes of it that has just failed, nobody can say. */
  async #forget(): Promise<void> {
    try {
      await this.#file.truncate(this.#size_bytes);
      await this.#file.datasync();
    } catch {
      // The journal is broken already.
    }
  }

  /** Takes half a batch back, so that the next line does not continue it. */
  async #cutOff(error: unknown): Promise<PmsmError> {
    const failure = diskError(error, 'a record could not be written');
    try {
      await this.#file.truncate(this.#size_bytes);
    } catch (truncateError) {
      this.#broken = diskError(truncateError, 'half a record could not be removed');
    }
    return failure;
  }
}

function diskError(error: unknown, what: string): PmsmError {
  const { code, message } = error as NodeJS.ErrnoException;
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new PmsmError(full ? 'no-space' : 'record-failed', `${what}: ${message}`);
}

/** Opens the journal of a directory and gives back its lines; a torn end is cut. */
export async function openJournal(
  directory: string,
): Promise<{ journal: Journal; lines: Line[]; cut_bytes: number }> {
  const path = join(directory, JOURNAL_NAME);
  const handle = await openHandle(path);
  const { size } = await handle.stat();
  if (size > JOURNAL_BYTES_MAX) {
    await handle.close();
    throw new PmsmError('no-space', `${path} has ${size} bytes, more than a journal may have`);
  }
  try {
    const { lines, good_bytes } = parseJournal(await handle.readFile(), path);
    if (good_bytes < size) {
      await handle.truncate(good_bytes);
      await handle.datasync();
    }
    const journal = new Journal(fileOf(handle), good_bytes);
    return { journal, lines, cut_bytes: size - good_bytes };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function openHandle(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const handle = await open(path, 'wx+', 0o600);
  await syncDirectory(dirname(path));
  return handle;
}

function fileOf(handle: FileHandle): JournalFile {
  return {
    write: async (data, position) =>
      (await handle.write(data, 0, data.length, position)).bytesWritten,
    datasync: () => handle.datasync(),
    truncate: (bytes) => handle.truncate(bytes),
    close: () => handle.close(),
  };
}

/** Only the end may be torn: a bad line with a good one behind it means lost decisions. */
export function parseJournal(data: Buffer, path: string): { lines: Line[]; good_bytes: number } {
  const lines: Line[] = [];
  let good_bytes = 0;
  let bad: number | undefined;
  for (let start = 0, number = 1; start < data.length; number++) {
    const newline = data.indexOf(NEWLINE, start);
    const end = newline === -1 ? data.length : newline;
    const line = newline === -1 ? undefined : parseLine(data.subarray(start, end));
    if (!line) bad ??= number;
    else if (bad !== undefined) {
      throw new PmsmError('internal', `${path} is damaged at line ${bad}: restore it by hand`);
    } else {
      lines.push(line);
      good_bytes = end + 1;
    }
    start = end + 1;
  }
  return { lines, good_bytes };
}

function parseLine(data: Buffer): Line | undefined {
  try {
    return LineSchema.safeParse(JSON.parse(data.toString('utf8'))).data;
  } catch {
    return undefined;
  }
}

/** Writes the lines into a new file that takes the old one's place in one step. */
export async function rewriteJournal(directory: string, lines: Line[]): Promise<void> {
  const temporary = join(directory, `${JOURNAL_NAME}.new`);
  const handle = await open(temporary, 'w', 0o600);
  try {
    await handle.writeFile(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    await handle.datasync();
  } catch (error) {
    await handle.close();
    await unlink(temporary);
    throw diskError(error, 'the journal could not be shortened');
  }
  await handle.close();
  await rename(temporary, join(directory, JOURNAL_NAME));
  await syncDirectory(directory);
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A migration that could not be recorded to its end must not begin. */
export async function requireSpace(directory: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const free_bytes = bavail * bsize;
  if (free_bytes >= FREE_BYTES_MIN) return;
  const need = `${directory} has ${free_bytes} bytes free, a migration needs ${FREE_BYTES_MIN}`;
  throw new PmsmError('no-space', need);
}
