/** The command line of `npm run faults`. */
import { Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { CASES, type FaultCase } from './cases.ts';

export const OptionsSchema = z.strictObject({
  json: z.string().min(1).nullable(),
  /** A file for the table as Markdown, or null. */
  export: z.string().min(1).nullable(),
  only: z.array(z.string()).nullable(),
  resume: z.boolean(),
  list: z.boolean(),
});

export type FaultsOptions = z.infer<typeof OptionsSchema>;

export function parseOptions(words: readonly string[]): FaultsOptions {
  const command = new Command('npm run faults --')
    .description(
      'Lets every part fail at every step of a migration, and looks who runs afterwards.',
    )
    .option('--json <file>', 'write the results there as well')
    .option('--export <file>', 'write the table there, as Markdown')
    .option('--only <ids>', 'these cases, with commas; a beginning of an id names all of them', ids)
    .option('--resume', 'go on: what has held is not tried again', false)
    .option('--list', 'name the cases and try none', false)
    .showHelpAfterError('(--help lists the options)')
    .exitOverride();
  command.parse(words, { from: 'user' });
  const { json = null, only = null, export: page = null, ...rest } = command.opts();
  return OptionsSchema.parse({ json, only, export: page, ...rest });
}

function ids(text: string): string[] {
  const wanted = text.split(',').filter((id) => id !== '');
  for (const id of wanted) {
    if (!CASES.some((one) => one.id.startsWith(id))) {
      throw new InvalidArgumentError(`There is no case ${id}; --list names them.`);
    }
  }
  return wanted;
}

export function chosen({ only }: Pick<FaultsOptions, 'only'>): FaultCase[] {
  return CASES.filter(({ id }) => only === null || only.some((prefix) => id.startsWith(prefix)));
}
