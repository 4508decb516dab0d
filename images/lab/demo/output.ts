/** Writes what a demo leaves behind: report.json and report.html, whole or not at all. */
import { accessSync, constants, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { PmsmError } from '../../../agent/wire/errors.ts';
import { inTree } from '../../paths.ts';
import { renderPage } from './report/page.ts';
import type { ReportFile } from './report/schema.ts';

export const OUTPUT = inTree('build/demo');
/** Consoles and records of a run that did not hold, or that was to be kept. */
export const LOGS = resolve(OUTPUT, 'logs');
export const PAGE = resolve(OUTPUT, 'report.html');

/** Said before minutes of work, not after them. */
export function requireWritable(json: string | null): void {
  if (json === null || json === '-') return;
  try {
    accessSync(dirname(resolve(json)), constants.W_OK);
    if (statSync(json, { throwIfNoEntry: false })?.isDirectory()) throw new Error('a directory');
  } catch (error) {
    throw new PmsmError('bad-request', `--json ${json}: ${(error as Error).message}`);
  }
}

export function writeReports(file: ReportFile, json: string | null): void {
  const text = `${JSON.stringify(file, null, 1)}\n`;
  writeWhole(resolve(OUTPUT, 'report.json'), text);
  writeWhole(PAGE, renderPage(file));
  if (json === '-') writeFileSync(1, text);
  else if (json !== null) writeWhole(resolve(json), text);
}

/** The old file, or the new one, but never half of it. */
export function writeWhole(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const part = `${path}.${process.pid}.part`;
  writeFileSync(part, text);
  renameSync(part, path);
}
