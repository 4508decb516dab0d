/** `pmsm`: the command line of the orchestrator. Data goes to stdout, talk to stderr. */
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command, CommanderError, Option } from 'commander';
import { PmsmError, toPmsmError } from '../../agent/wire/errors.ts';
import { LIST_LIMIT_MAX, type StartRequest } from '../api/schemas.ts';
import { CODEC_CHOICES, ENGINE_CHOICES } from '../store/record.ts';
import { Client } from './client.ts';
import { Console } from './console.ts';
import {
  describeCheck,
  describeExpectation,
  describeHosts,
  describeList,
  describeMigration,
  describeReport,
} from './describe.ts';
import { findEndpoint } from './endpoint.ts';
import { EXIT, exitCodeOf, exitCodeOfCheck, exitCodeOfError } from './exit.ts';
import { watch } from './watch.ts';

const RESOLVE_WAIT_MS = 5000;
const RESOLVE_POLL_MS = 200;

interface GlobalOptions {
  orchestrator?: string;
  json?: boolean;
}

interface MigrateOptions {
  engine: (typeof ENGINE_CHOICES)[number];
  codec: (typeof CODEC_CHOICES)[number];
  stallMs?: string;
  keepCache?: boolean;
  downtimeLimit?: string;
  maxRounds?: string;
  bandwidth?: string;
  throttle?: boolean;
  detach?: boolean;
  yes?: boolean;
}

type Action = (client: Client, console: Console) => Promise<number>;

function makeProgram(): Command {
  const program = new Command('pmsm')
    .description('Moves a running physical machine to another one.')
    .option('--orchestrator <url>', 'http://HOST:PORT or unix:/PATH (env PMSM_ORCHESTRATOR)')
    .option('--json', 'data as JSON on stdout')
    .exitOverride()
    .showHelpAfterError()
    .configureHelp({ showGlobalOptions: true });

  const run = async (action: Action): Promise<void> => {
    const options = program.opts<GlobalOptions>();
    const client = new Client(findEndpoint(options.orchestrator, process.env));
    process.exitCode = await action(client, new Console(options.json ?? false));
  };
  addMigrate(program, run);
  addQueries(program, run);
  return program;
}

type Run = (action: Action) => Promise<void>;

function addMigrate(program: Command, run: Run): void {
  program
    .command('migrate')
    .description('moves SOURCE to TARGET and watches it')
    .argument('<source>', 'name of the machine that runs')
    .argument('<target>', 'name of the standby')
    .addOption(new Option('--engine <engine>', 'how').choices(ENGINE_CHOICES).default('auto'))
    .addOption(new Option('--codec <codec>', 'compression').choices(CODEC_CHOICES).default('auto'))
    .option('--stall-ms <ms>', 'the source thaws when nothing moves for so long')
    .option('--keep-cache', 'moves the clean page cache too')
    .option('--downtime-limit <ms>', 'engine delta: longest predicted downtime (2000)')
    .option('--max-rounds <n>', 'engine delta: most rounds (8)')
    .option('--bandwidth <mb/s>', 'engine delta: megabytes a second before the window')
    .option('--throttle', 'engine delta: may slow down services that change too much')
    .option('--detach', 'prints the id and returns at once')
    .option('--yes', 'does not ask')
    .action((source: string, target: string, options: MigrateOptions) =>
      run((client, console) => migrate(client, console, source, target, options)),
    );
}

async function migrate(
  client: Client,
  console: Console,
  source: string,
  target: string,
  options: MigrateOptions,
): Promise<number> {
  if (!(await agrees(client, console, source, target, options))) {
    console.talk('Nothing was done.');
    return EXIT.usage;
  }
  const { id, ...migration } = await client.start(toRequest(source, target, options));
  if (!options.detach) {
    console.talk(`Moving ${source} to ${target}, migration ${id}`);
    return await watch(client, console, id);
  }
  if (console.json) console.data({ id, ...migration });
  else console.text(`${id}\n`);
  return EXIT.ok;
}

function toRequest(source: string, target: string, options: MigrateOptions): StartRequest {
  const { engine, codec, keepCache, throttle } = options;
  const bandwidth = wholeNumber('--bandwidth', options.bandwidth);
  const numbers = {
    stall_ms: wholeNumber('--stall-ms', options.stallMs),
    downtime_limit_ms: wholeNumber('--downtime-limit', options.downtimeLimit),
    rounds_max: wholeNumber('--max-rounds', options.maxRounds),
    bytes_per_s_max: bandwidth === undefined ? undefined : bandwidth * 1_000_000,
  };
  const given = Object.entries(numbers).filter(([, value]) => value !== undefined);
  return {
    source,
    target,
    engine,
    options: {
      codec,
      keep_cache: keepCache ?? false,
      throttle: throttle ?? false,
      ...Object.fromEntries(given),
    },
  };
}

function wholeNumber(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) {
    throw new PmsmError('bad-request', `${flag} ${text} is not a whole number`);
  }
  return Number(text);
}

/** Asks only a person: a script that got here means it. */
async function agrees(
  client: Client,
  console: Console,
  source: string,
  target: string,
  { yes, engine }: MigrateOptions,
): Promise<boolean> {
  if (yes || console.json || !process.stdin.isTTY || !process.stderr.isTTY) return true;
  const expected = await client.preflight(source, target, engine);
  const ask = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const question = `Move ${source} to ${target}? ${describeExpectation(expected)} [y/N] `;
    return /^y(es)?$/i.test((await ask.question(question)).trim());
  } finally {
    ask.close();
  }
}

function addQueries(program: Command, run: Run): void {
  program
    .command('status')
    .description('shows one migration, or all of them, newest first')
    .argument('[id]')
    .option('--limit <n>', 'how many', '20')
    .action((id: string | undefined, { limit }: { limit: string }) =>
      run((client, console) => status(client, console, id, limit)),
    );
  program
    .command('watch')
    .description('follows a migration to its end')
    .argument('<id>')
    .action((id: string) => run((client, console) => watch(client, console, id)));
  program
    .command('cancel')
    .description('ends a migration that has not passed commit; the source runs on')
    .argument('<id>')
    .action((id: string) => run((client, console) => cancel(client, console, id)));
  program
    .command('resolve')
    .description('ends a doubt, by the word of a person')
    .argument('<id>')
    .option('--target-is-off', 'you have made certain of it yourself: the source may run again')
    .option(
      '--source-is-off',
      'it is the source that is off: nobody waits for it any more, and what it had in memory is given up',
    )
    .action((id: string, { targetIsOff, sourceIsOff }: Record<string, boolean>) => {
      if (targetIsOff === sourceIsOff) {
        throw new PmsmError('bad-request', 'say either --target-is-off or --source-is-off');
      }
      const off = targetIsOff ? 'target' : 'source';
      return run((client, console) => resolve(client, console, id, off));
    });
  program
    .command('report')
    .description('shows how a migration went')
    .argument('<id>')
    .action((id: string) => run((client, console) => report(client, console, id)));
  program
    .command('check')
    .description('says whether SOURCE could move (to TARGET), and changes nothing')
    .argument('<source>')
    .argument('[target]')
    .action((source: string, target: string | undefined) =>
      run((client, console) => check(client, console, source, target)),
    );
  program
    .command('hosts')
    .description('lists the machines and what they are')
    .action(() => run(hosts));
}

async function status(
  client: Client,
  console: Console,
  id: string | undefined,
  limit: string,
): Promise<number> {
  if (id !== undefined) {
    const migration = await client.migration(id);
    if (console.json) console.data(migration);
    else console.text(describeMigration(migration));
    return EXIT.ok;
  }
  const count = Number(limit);
  if (!Number.isInteger(count) || count < 1 || count > LIST_LIMIT_MAX) {
    throw new PmsmError('bad-request', `--limit must be 1 to ${LIST_LIMIT_MAX}`);
  }
  const migrations = await client.list(count);
  if (console.json) console.data({ migrations });
  else console.text(describeList(migrations));
  return EXIT.ok;
}

async function cancel(client: Client, console: Console, id: string): Promise<number> {
  const migration = await client.cancel(id);
  if (console.json) console.data(migration);
  else console.talk(`${id} is being cancelled; pmsm watch ${id} shows its end.`);
  return EXIT.ok;
}

/** The source asks for orders twice a second, so its answer is not far if it can be reached. */
async function resolve(
  client: Client,
  console: Console,
  id: string,
  off: 'target' | 'source',
): Promise<number> {
  let migration = await client.resolve(id, off);
  const deadline_ms = performance.now() + RESOLVE_WAIT_MS;
  while (migration.outcome === 'in-doubt' && performance.now() < deadline_ms) {
    await sleep(RESOLVE_POLL_MS);
    migration = await client.migration(id);
  }
  if (console.json) console.data(migration);
  else if (off === 'source') console.talk('Recorded; nobody waits for the source any more.');
  else if (migration.outcome === 'rolled-back') console.talk('The source runs again.');
  else console.talk('Recorded; the source is ordered to thaw as soon as it connects.');
  return exitCodeOf(migration);
}

async function report(client: Client, console: Console, id: string): Promise<number> {
  const answer = await client.report(id);
  if (console.json) console.data(answer);
  else console.text(describeReport(answer));
  return EXIT.ok;
}

async function check(
  client: Client,
  console: Console,
  source: string,
  target: string | undefined,
): Promise<number> {
  const answer = await client.preflight(source, target);
  if (console.json) console.data(answer);
  else console.text(describeCheck(answer, process.stdout));
  return exitCodeOfCheck(answer);
}

async function hosts(client: Client, console: Console): Promise<number> {
  const list = await client.hosts();
  if (console.json) console.data({ hosts: list });
  else console.text(describeHosts(list));
  return EXIT.ok;
}

function fail(thrown: unknown, json: boolean): number {
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const error = toPmsmError(thrown);
  process.stderr.write(`pmsm: ${error.message}\n  ${error.remedy}\n`);
  if (json) process.stdout.write(`${JSON.stringify({ error: error.toProblem() })}\n`);
  return exitCodeOfError(error);
}

const program = makeProgram();
try {
  await program.parseAsync();
} catch (thrown) {
  process.exitCode = fail(thrown, process.argv.includes('--json'));
}
