/** The figures for documents: the table as Markdown, and each picture in a file of its own. */
import { resolve } from 'node:path';
import type { Report } from '../demo/report/schema.ts';
import { picturesOf } from './plots.ts';
import { writeWhole } from './results.ts';
import { summarise } from './summary.ts';
import { drawMarkdown } from './table.ts';

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
  const words = description.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  const paper = '<rect width="100%" height="100%" fill="#ffffff"/>';
  const own = 'xmlns="http://www.w3.org/2000/svg" color="#1b1f24"';
  return svg.replace(/^<svg([^>]*)>/, `<svg ${own}$1><title>${words}</title>${paper}`);
}
