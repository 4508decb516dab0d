/** Builds a program of this folder, static, so that it runs on any host's disk. */
import { resolve } from 'node:path';
import { cached } from '../../cache.ts';
import { inTree } from '../../paths.ts';
import type { Progress } from '../../progress.ts';

const FLAGS = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-static'];

/** Where the built program lies on this machine. */
export async function guestProgram(name: string, progress: Progress): Promise<string> {
  const source = `images/lab/guest/${name}.c`;
  const built = await cached(
    {
      name,
      title: `Building ${name}`,
      inputs: { version: 1, source: { file: source }, flags: FLAGS },
      build: async (directory, { run }) => {
        await run(['gcc', ...FLAGS, '-o', resolve(directory, name), inTree(source)]);
      },
    },
    progress,
  );
  return built.path(name);
}
