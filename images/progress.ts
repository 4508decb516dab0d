/**
 * Long steps say what they do, for how long already and how far they are: on a terminal in one live line, else in a
 * line every 15 s. Everything goes to standard error, since standard output may be somebody's JSON.
 */

export interface Step {
  /** What the step does right now. */
  detail(text: string): void;
  /** How far it is, 0 to 1. */
  fraction(done: number): void;
}

export interface Progress {
  step<T>(title: string, work: (step: Step) => Promise<T>): Promise<T>;
  note(text: string): void;
}

interface Active {
  title: string;
  started_ms: number;
  detail: string;
  done: number | undefined;
}

const LIVE_EVERY_MS = 200;
const LINE_EVERY_MS = 15_000;
/** A step shorter than this leaves no line behind when nobody watches. */
const QUIET_MS = 1000;

export function seconds(elapsed_ms: number): string {
  const whole = Math.round(elapsed_ms / 1000);
  if (elapsed_ms < 9950) return `${(elapsed_ms / 1000).toFixed(1)} s`;
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

export function bytesText(bytes: number): string {
  const mib = bytes / (1024 * 1024);
  return mib >= 1024 ? `${(mib / 1024).toFixed(1)} GiB` : `${mib.toFixed(1)} MiB`;
}

/** Steps may be nested: the innermost one is shown. */
class TextProgress implements Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #live: boolean;
  readonly #active: Active[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    this.#live = stream.isTTY === true;
  }

  async step<T>(title: string, work: (step: Step) => Promise<T>): Promise<T> {
    const active: Active = { title, started_ms: performance.now(), detail: '', done: undefined };
    this.#active.push(active);
    this.#start();
    try {
      const result = await work({
        detail: (text) => {
          active.detail = text;
        },
        fraction: (done) => {
          active.done = Math.min(1, Math.max(0, done));
        },
      });
      this.#finish(active, 'done');
      return result;
    } catch (error) {
      this.#finish(active, 'failed');
      throw error;
    }
  }

  note(text: string): void {
    this.#clear();
    this.#stream.write(`${text}\n`);
  }

  #start(): void {
    this.#timer ??= setInterval(
      () => this.#show(),
      this.#live ? LIVE_EVERY_MS : LINE_EVERY_MS,
    ).unref();
  }

  #finish(active: Active, how: 'done' | 'failed'): void {
    this.#active.splice(this.#active.indexOf(active), 1);
    if (this.#active.length === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    const elapsed_ms = performance.now() - active.started_ms;
    this.#clear();
    if (how === 'failed' || elapsed_ms >= QUIET_MS) {
      this.#stream.write(`${how === 'done' ? '+' : '!'} ${active.title}: ${seconds(elapsed_ms)}\n`);
    }
  }

  #show(): void {
    const active = this.#active.at(-1);
    if (!active) return;
    const share = active.done === undefined ? '' : ` ${Math.floor(active.done * 100)} %`;
    const detail = active.detail === '' ? '' : ` (${active.detail})`;
    const line = `${active.title}:${share} ${seconds(performance.now() - active.started_ms)}${detail}`;
    if (this.#live) {
      this.#clear();
      this.#stream.write(`  ${line}`.slice(0, (this.#stream.columns ?? 80) - 1));
    } else {
      this.#stream.write(`  ${line}\n`);
    }
  }

  #clear(): void {
    if (this.#live) this.#stream.write('\r\u001b[K');
  }
}

export function textProgress(stream: NodeJS.WriteStream = process.stderr): Progress {
  return new TextProgress(stream);
}

export const silentProgress: Progress = {
  step: (_title, work) => work({ detail: () => undefined, fraction: () => undefined }),
  note: () => undefined,
};
