import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type MachineIdentity, MachineSchema } from './api/schemas.ts';

/**
 * Which physical machine this is. After a move /proc/cmdline still names the machine left behind;
 * the file holds the truth. It lies on a tmpfs: it travels in the image, a reboot forgets it, and
 * writing it never waits for a disk.
 */
export class Machine {
  readonly path: string;
  #known: MachineIdentity;

  /** What the file says wins over what the machine was booted with. */
  constructor(path: string, booted: MachineIdentity) {
    this.path = path;
    this.#known = booted;
    write(path, this.identity);
  }

  /** Looked up each time: the helper changes the file when nobody else runs. */
  get identity(): MachineIdentity {
    this.#known = readIdentity(this.path) ?? this.#known;
    return this.#known;
  }

  /**
   * What the file is to say on another body: the helper renames it there when it learns that it is the owner, so
   * that whoever looks finds the truth, however the helper ends. A file for each attempt: one that is refused,
   * because another is under way, must not take that one's away.
   */
  prepareMove(attempt: string, name: string, address: string, prefix: number): void {
    write(`${this.path}.${attempt}`, { ...this.identity, name, address, prefix });
  }

  /** After an attempt that did not come so far. */
  forgetMove(attempt: string): void {
    rmSync(`${this.path}.${attempt}`, { force: true });
  }
}

function write(path: string, identity: MachineIdentity): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const temporary = `${path}.new`;
  writeFileSync(temporary, `${JSON.stringify(identity)}\n`);
  renameSync(temporary, path);
}

function readIdentity(path: string): MachineIdentity | undefined {
  try {
    return MachineSchema.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data;
  } catch {
    return undefined;
  }
}
