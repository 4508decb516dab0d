// Generates C, TypeScript and documentation from wire.yaml, phases.yaml and errors.yaml.
//   npm run generate              writes the files that changed
//   npm run generate -- --check   writes nothing; exits 1 and names the stale files

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { writeCHeader } from './generator/c-header.ts';
import { loadVectors, writeFrames } from './generator/frames.ts';
import { fillMarkdown } from './generator/markdown.ts';
import { loadModel } from './generator/model.ts';
import { writeErrorsTs, writePhasesTs, writeWireTs } from './generator/typescript.ts';

const ROOT = join(import.meta.dirname, '..', '..');

interface Output {
  /** Path from the root of the project. */
  path: string;
  content: string;
}

/** All generated files as they should be. `root` is the project's folder. */
export function generateAll(root: string): Output[] {
  const model = loadModel(join(root, 'agent/wire'));
  const protocol = 'docs/protocol.md';
  return [
    { path: 'agent/native/wire/wire.gen.h', content: writeCHeader(model) },
    { path: 'agent/wire/wire.gen.ts', content: writeWireTs(model) },
    { path: 'agent/wire/phases.gen.ts', content: writePhasesTs(model) },
    { path: 'agent/wire/errors.gen.ts', content: writeErrorsTs(model) },
    {
      path: 'agent/wire/vectors/frames.txt',
      content: writeFrames(loadVectors(join(root, 'agent/wire/vectors'))),
    },
    { path: protocol, content: fillMarkdown(readFileSync(join(root, protocol), 'utf8'), model) },
  ];
}

/** The paths whose content on disk differs from what the YAML files ask for. */
export function staleOutputs(root: string, outputs: Output[]): Output[] {
  return outputs.filter(({ path, content }) => readIfThere(join(root, path)) !== content);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return undefined;
    }
    throw error;
  }
}

function main(args: string[]): number {
  const unknown = args.find((arg) => arg !== '--check');
  if (unknown !== undefined) {
    process.stderr.write(`generate: unknown argument ${unknown}; it knows --check only.\n`);
    return 2;
  }
  const stale = staleOutputs(ROOT, generateAll(ROOT));
  if (args.includes('--check')) {
    for (const { path } of stale) {
      process.stderr.write(`stale: ${path}\n`);
    }
    if (stale.length > 0) {
      process.stderr.write('Run `npm run generate` and commit the result.\n');
    }
    return stale.length > 0 ? 1 : 0;
  }
  for (const { path, content } of stale) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    writeFileSync(join(ROOT, path), content);
    process.stdout.write(`written: ${path}\n`);
  }
  return 0;
}

if (import.meta.main) {
  process.exitCode = main(process.argv.slice(2));
}
