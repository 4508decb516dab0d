/**
 * Explores test/model/handoff.pml completely, compares its transitions with the tables that the orchestrator and
 * the helper go by, and sees to it that mistakes in the protocol are found.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { run } from '../../images/processes.ts';
import { STATES, type State } from '../../orchestrator/store/record.ts';
import { isLegal } from '../../orchestrator/workflow/state.ts';

// The runner has the limit.
t.setTimeout(0);

const MODEL = resolve(import.meta.dirname, 'handoff.pml');
const STATE_TABLE = resolve(import.meta.dirname, '../../agent/native/common/state.c');
const MEMORY_MB = 4096;
const DEPTH_MAX = 100_000;
const text = readFileSync(MODEL, 'utf8');
/** A lab needs memory, and these run one after the other. */
const directory = t.testdir({});

interface Exploration {
  errors: number;
  states: number;
  depth: number;
  /** Statements that no run has reached. */
  unreached: string[];
  output: string;
}

/** With bounds of its own: a mutation that is found in a small world need not be looked for in a large one. */
async function explore(name: string, defines: readonly string[]): Promise<Exploration> {
  const place = resolve(directory, name);
  mkdirSync(place);
  const words = defines.map((define) => `-D${define}`).join(' ');
  const script =
    `cd "$1"; spin ${words} -a "$2" >spin.log; ` +
    `gcc -O2 -w -DSAFETY -DCOLLAPSE -DMEMLIM=${MEMORY_MB} -o pan pan.c; ./pan -m${DEPTH_MAX}`;
  const output = await run(['sh', '-euc', script, 'sh', place, MODEL]);
  const number = (pattern: RegExp): number => Number(pattern.exec(output)?.[1] ?? Number.NaN);
  return {
    errors: number(/errors: (\d+)/),
    states: number(/^\s*(\d+) states, stored/m),
    depth: number(/depth reached (\d+)/),
    unreached: output.split('\n').filter((line) => /handoff\.pml:\d+, state/.test(line)),
    output,
  };
}

t.test(
  'every run of the model keeps the promises, and comes to an end with one machine',
  async (t) => {
    const { errors, states, depth, unreached, output } = await explore('whole', []);
    t.equal(errors, 0, output);
    t.notMatch(output, /max search depth too small|out of memory|Search not completed/);
    t.ok(states > 10_000, `${states} states, all of them`);
    t.ok(depth < DEPTH_MAX, `runs of up to ${depth} steps`);
    const dead = unreached.filter((line) => !line.includes('-end-'));
    t.strictSame(dead, [], 'and there is none that no run makes use of');
    t.comment(`${states} states, depth ${depth}`);
  },
);

const MUTATIONS = [...text.matchAll(/^#ifdef (MUTATE_\w+)/gm)].map(([, name]) => String(name));

t.test('mistakes in the protocol are found', async (t) => {
  t.ok(MUTATIONS.length >= 8, `${MUTATIONS.length} mutations`);
  for (const mutation of MUTATIONS) {
    const { errors, output } = await explore(mutation, [mutation]);
    t.ok(
      errors > 0,
      `${mutation}: ${/assertion violated.*|invalid end state.*/.exec(output)?.[0]}`,
    );
  }
});

/** `MOVE(a, b)` outside of mutations. */
function movesOf(macro: string): string[] {
  const sound = text.replaceAll(/^#ifdef MUTATE_[\s\S]*?^#endif$/gm, '');
  const moves = sound.matchAll(new RegExp(`(?<![A-Z_])${macro}\\((\\w+), (\\w+)\\)`, 'g'));
  return [...new Set([...moves].map(([, from, to]) => `${from} to ${to}`))]
    .filter((move) => move !== 'from to to')
    .sort();
}

t.test('the orchestrator makes the transitions of the model, and no other', async (t) => {
  // What comes before the image is complete has one way out, and that is the same.
  const before: State[] = ['planned', 'preparing', 'refused'];
  const modelled = STATES.filter((state) => !before.includes(state));
  const name = (state: State): string => state.replaceAll('-', '_');
  const table = modelled.flatMap((from) =>
    modelled.filter((to) => isLegal(from, to)).map((to) => `${name(from)} to ${name(to)}`),
  );
  t.strictSame(movesOf('MOVE'), table.sort());
});

/** The helper's own table, from its source. */
function helperTable(): Map<string, string[]> {
  const rows = readFileSync(STATE_TABLE, 'utf8').matchAll(
    /\[STATE_(\w+)\] = \{"[a-z-]+",\s*([^}]*)\}/g,
  );
  const table = new Map<string, string[]>();
  for (const [, from = '', next = ''] of rows) {
    const to = [...next.matchAll(/TO\(STATE_(\w+)\)/g)].map(([, state = '']) =>
      state.toLowerCase(),
    );
    table.set(from.toLowerCase(), to);
  }
  return table;
}

t.test('so does the helper from commit on, on either machine', async (t) => {
  const table = helperTable();
  for (const [macro, states] of [
    ['S_MOVE', ['sent', 'given_up']],
    ['T_MOVE', ['resumed']],
  ] as const) {
    const expected = states.flatMap((from) =>
      (table.get(from) ?? []).map((to) => `${from} to ${to}`),
    );
    t.ok(expected.length > 0);
    t.strictSame(movesOf(macro), expected.sort(), macro);
  }
});
