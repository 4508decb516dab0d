/** Numbers for people, and text that is safe inside HTML and SVG. */

import type { Report } from './schema.ts';

export function formatMs(ms: number | null): string {
  if (ms === null) return 'not measured';
  const size = Math.abs(ms);
  if (size >= 100_000) return `${Math.round(ms / 1000)} s`;
  if (size >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (size >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  if (size >= 10) return `${Math.round(ms)} ms`;
  return `${Number(ms.toFixed(1))} ms`;
}

export function formatBytes(bytes: number | null): string {
  if (bytes === null) return 'not measured';
  const mib = bytes / 2 ** 20;
  if (mib >= 10_240) return `${(mib / 1024).toFixed(1)} GiB`;
  if (mib >= 100) return `${Math.round(mib)} MiB`;
  if (mib >= 1) return `${mib.toFixed(1)} MiB`;
  return `${(bytes / 1024).toFixed(1)} KiB`;
}

/** 12345 as 12 345, with thin spaces so that it stays one number to the eye. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, '\u2009');
}

/** Rows of cells as lines of text whose columns stand below each other. */
export function alignColumns(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return rows.map(line).join('\n');
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => ESCAPES[letter] ?? letter);
}

export function sayFrames({ check, differing_frames }: Report): string {
  if (check === null) return 'page frames were not compared';
  const wrong = differing_frames.filter(({ reason }) => reason === null).length;
  const differing = check.differing + check.one_sided;
  const unnamed = differing - differing_frames.length;
  return (
    `${formatCount(check.compared)} page frames compared: ` +
    `${differing} differ, ${wrong + unnamed} of them without a reason`
  );
}
