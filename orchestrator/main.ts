/** `node orchestrator/main.ts --config FILE`: the orchestrator until SIGTERM or SIGINT. */
import { Command } from 'commander';
import pino from 'pino';
import { toPmsmError } from '../agent/wire/errors.ts';
import { readConfig } from './config.ts';
import { startOrchestrator } from './service.ts';

async function main(): Promise<void> {
  const program = new Command('orchestrator')
    .description(
      'Decides about migrations: keeps the records, runs the phases, serves the REST API.',
    )
    .requiredOption('--config <file>', 'JSON: machines, listen, control, state_dir')
    .option('--log-level <level>', 'trace, debug, info, warn or error', 'info')
    .parse();
  const options = program.opts<{ config: string; logLevel: string }>();
  const log = pino({ level: options.logLevel }, pino.destination({ dest: 2, sync: true }));
  const orchestrator = await startOrchestrator(readConfig(options.config), log);
  process.stdout.write('ready\n');
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
  await orchestrator.close();
}

try {
  await main();
} catch (thrown) {
  const error = toPmsmError(thrown);
  process.stderr.write(`${error.message} ${error.remedy}\n`);
  process.exitCode = error.exitCode;
}
