/** The daemon on a machine that can move: tells what the machine is and starts the helper. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import pino from 'pino';
import { PmsmError, toPmsmError } from '../wire/errors.ts';
import { makeApp } from './api/app.ts';
import {
  type AgentConfig,
  makeConfig,
  type Settings,
  settingsFromCommandLine,
  settingsFromFile,
} from './config.ts';
import { Helper } from './helper.ts';
import { Machine } from './machine.ts';

const CONFIG_FILE = '/etc/pmsm/agent.json';
const COMMAND_LINE_FILE = '/proc/cmdline';

function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function configure(): { config: AgentConfig; level: string } {
  const program = new Command('pmsm-agent')
    .description('Tells what this machine is and starts its move.')
    .option('--machine <name>', 'name of this machine')
    .option('--address <address/prefix>', 'migration address')
    .option('--interface <name>', 'migration interface')
    .option('--single-nic', 'the migration address sits on the service NIC')
    .option('--listen <host:port>', 'where to listen (default 0.0.0.0:7073)')
    .option('--helper <path>', 'pmsm-freeze')
    .option('--machine-file <path>', 'where to keep which machine this is')
    .option('--record <where>', 'where the disk says who owns it')
    .option('--config <file>', 'settings as JSON', CONFIG_FILE)
    .option('--log-level <level>', 'trace, debug, info, warn or error', 'info')
    .parse();
  const { config: path, logLevel, ...flags } = program.opts<Record<string, string | boolean>>();
  const file = readOptional(String(path));
  if (file === undefined && path !== CONFIG_FILE) {
    throw new PmsmError('bad-request', `cannot read ${path}`);
  }
  const fromFlags = Object.fromEntries(
    Object.entries(flags).map(([key, value]) => [snakeCase(key), value]),
  );
  const config = makeConfig(
    settingsFromCommandLine(readOptional(COMMAND_LINE_FILE) ?? ''),
    file === undefined ? {} : settingsFromFile(file, String(path)),
    fromFlags as Settings,
  );
  return { config, level: String(logLevel) };
}

function snakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

async function main(): Promise<void> {
  const { config, level } = configure();
  // Lines are written in the background: a slow console must not hold the daemon up.
  const log = pino({ level }, pino.destination({ dest: 2, sync: false }));
  const machine = new Machine(config.machine_file, config.machine);
  const helper = new Helper(config.helper, machine, log, config.record);
  await helper.recover();
  const enrolled = config.record !== undefined;
  const surroundings = { root: '/', helper: config.helper, enrolled };
  const app = await makeApp({ surroundings, machine, helper, log });
  await listen(app, config);
  log.info({ machine: machine.identity, listen: config.listen }, 'agent is ready');
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      app.close().then(
        () => process.exit(0),
        () => process.exit(1),
      );
    });
  }
}

async function listen(
  app: Awaited<ReturnType<typeof makeApp>>,
  { listen: where }: AgentConfig,
): Promise<void> {
  try {
    await app.listen(where);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const taken = code === 'EADDRINUSE';
    throw new PmsmError(
      taken ? 'port-taken' : 'internal',
      `${where.host}:${where.port}: ${message}`,
    );
  }
}

try {
  await main();
} catch (thrown) {
  const error = toPmsmError(thrown);
  process.stderr.write(`${error.message} ${error.remedy}\n`);
  process.exitCode = error.exitCode;
}
