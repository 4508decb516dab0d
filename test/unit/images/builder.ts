/** A process of its own that wants an artefact, for cache.test.ts: `builder.ts quick|slow|lone [at-once]`. */
import { cached } from '../../../images/cache.ts';
import { silentProgress } from '../../../images/progress.ts';

const [speed = 'quick', atOnce] = process.argv.slice(2);
const SCRIPT = {
  quick: 'sleep 1',
  // Two processes deep, as a build is.
  slow: atOnce ? 'true' : 'sh -c \'echo $$ >"$1/pid"; sleep 600; true\' sh "$1"; true',
  lone: atOnce ? 'true' : 'echo $$ >"$1/pid"; exec sleep 600',
}[speed as 'quick' | 'slow' | 'lone'];

await cached(
  {
    name: 'shared',
    title: 'Making a shared thing',
    inputs: { speed },
    build: async (directory, { run }) => {
      await run(['sh', '-c', SCRIPT, 'sh', directory]);
      process.stdout.write('built\n');
    },
  },
  silentProgress,
);
process.stdout.write('have it\n');
