/** Where things stand in the picture: scales, ticks, and labels that do not overlap. */

export interface Scale {
  readonly from: number;
  readonly to: number;
  readonly at: (value: number) => number;
}

export function linearScale(from: number, to: number, left: number, right: number): Scale {
  const factor = (right - left) / (to - from);
  return { from, to, at: (value) => left + (value - from) * factor };
}

/** Decades from bottom to top; what is below the first decade sits on the bottom line. */
export function logScale(from: number, to: number, bottom: number, top: number): Scale {
  const span = Math.log10(to / from);
  const at = (value: number) =>
    bottom + (Math.log10(Math.max(value, from) / from) / span) * (top - bottom);
  return { from, to, at };
}

const STEPS = [50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000];

/** Round positions, at most `limit` of them. */
export function ticks(from: number, to: number, limit: number): number[] {
  const step = STEPS.find((size) => (to - from) / size <= limit) ?? (to - from) / limit;
  const marks: number[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) marks.push(at);
  return marks;
}

/** Wide enough for any of the usual sans serif faces. */
export function textWidth(text: string, font_px: number): number {
  return text.length * font_px * 0.6;
}

export interface Flag {
  /** Where the pole stands; the text begins right of it. */
  readonly x: number;
  readonly text: string;
}

export interface PlacedFlag extends Flag {
  /** 0 is nearest to the bar. */
  readonly row: number;
  /** True if the text stands left of the pole, for want of room on the right. */
  readonly left: boolean;
}

const FLAG_GAP = 6;

/**
 * Flags for bars too narrow to hold their name. From right to left, each goes one row above every
 * flag whose pole its text would cross, so poles never cross a text. At the right edge, where a
 * text would run out of the picture, it stands left of its pole and above all it passes over.
 */
export function placeFlags(flags: readonly Flag[], right: number, font_px: number): PlacedFlag[] {
  const placed: PlacedFlag[] = [];
  for (const flag of [...flags].sort((a, b) => b.x - a.x)) {
    const width = textWidth(flag.text, font_px) + FLAG_GAP;
    const left = flag.x + width > right;
    const [begin, end] = left ? [flag.x - width, flag.x] : [flag.x, flag.x + width];
    const below = placed.filter((other) => {
      const reach = textWidth(other.text, font_px) + FLAG_GAP;
      const [otherBegin, otherEnd] = other.left
        ? [other.x - reach, other.x]
        : [other.x, other.x + reach];
      return otherBegin < end && begin < otherEnd;
    });
    const row = below.reduce((highest, other) => Math.max(highest, other.row + 1), 0);
    placed.push({ ...flag, row, left });
  }
  return placed.reverse();
}

export function rowsOf(flags: readonly PlacedFlag[]): number {
  return flags.reduce((rows, flag) => Math.max(rows, flag.row + 1), 0);
}
