/** The figures for documents: the table as Markdown, and each picture in a file of its own. */
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { PmsmError } from '../../../agent/wire/errors.ts';
import { writeWhole } from '../demo/output.ts';
import { escapeText } from '../demo/report/format.ts';
import type { Report } from '../demo/report/schema.ts';
import { picturesOf } from './plots.ts';
import { summarise } from './summary.ts';
import { drawMarkdown } from './table.ts';

/** Made before anything long begins: runs take hours. */
export function requireFolder(folder: string | null): void {
  if (folder === null) return;
  try {
    makeFolder(resolve(folder));
    accessSync(folder, constants.W_OK);
  } catch (error) {
    throw new PmsmError('bad-request', `--export ${folder}: ${(error as Error).message}`);
  }
}

/** Node's own way to make parents as well never ends where none can be made (/proc). */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  mkdirSync(folder);
}

/** Returns what was written. */
export function exportTo(folder: string, reports: readonly Report[]): string[] {
  const files = picturesOf(reports).map(({ title, note, svg }) => ({
    name: `${fileName(title)}.svg`,
    text: `${alone(svg, `${title}. ${note}`)}\n`,
  }));
  const table = drawMarkdown(summarise(reports));
  files.push({ name: 'table.md', text: `# Bench: ways to move the same machine\n\n${table}\n` });
  return files.map(({ name, text }) => {
    const path = resolve(folder, name);
    writeWhole(path, text);
    return path;
  });
}

const fileName = (title: string): string =>
  title
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');

/** In a page a picture has the page's colours; alone it needs its own. */
function alone(svg: string, description: string): string {
  const paper = '<rect width="100%" height="100%" fill="#ffffff"/>';
  const own = 'xmlns="http://www.w3.org/2000/svg" color="#1b1f24"';
  return svg.replace(
    /^<svg([^>]*)>/,
    `<svg ${own}$1><title>${escapeText(description)}</title>${paper}`,
  );
}
