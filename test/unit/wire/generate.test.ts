// The generator: its files are fresh, it refuses faulty input, and --check says what to do.

import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { generateAll, staleOutputs } from '../../../agent/wire/generate.ts';
import { buildModel } from '../../../agent/wire/generator/model.ts';
import { LAYOUT, LIMITS } from '../../../agent/wire/wire.gen.ts';
import { ROOT, readText } from './support.ts';

// biome-ignore lint/suspicious/noExplicitAny: documents that are broken on purpose have no type
type Loose = any;

interface Documents {
  wire: Loose;
  phases: Loose;
  errors: Loose;
}

function documents(): Documents {
  return {
    wire: parse(readText('agent/wire/wire.yaml')),
    phases: parse(readText('agent/wire/phases.yaml')),
    errors: parse(readText('agent/wire/errors.yaml')),
  };
}

t.test('generated files are fresh', async (t) => {
  const stale = staleOutputs(ROOT, generateAll(ROOT)).map(({ path }) => path);
  t.same(stale, [], 'run `npm run generate` and commit the result');
});

t.test('faulty input is refused with its place', async (t) => {
  const cases: [string, (d: Documents) => void, RegExp][] = [
    [
      'message number twice',
      (d) => (d.wire.messages[1].type = 1),
      /message number 1 is used twice/,
    ],
    ['message name twice', (d) => (d.wire.messages[1].name = 'hello'), /message name hello/],
    ['field twice', (d) => (d.wire.messages[3].fields[1].name = 'cookie'), /field of pong cookie/],
    ['unknown enum', (d) => (d.wire.messages[0].fields[0].enum = 'king'), /no enum king/],
    ['enum value twice', (d) => (d.wire.enums.codec.values.lz4 = 0), /enum codec 0/],
    ['not aligned', (d) => (d.wire.messages[0].fields[1].size = 6), /generation is not aligned/],
    ['bytes without size', (d) => delete d.wire.messages[0].fields[1].size, /size goes with type/],
    [
      'unknown type',
      (d) => (d.wire.messages[2].fields[0].type = 'i64'),
      /messages\[2\].fields\[0\]/,
    ],
    ['unknown key', (d) => (d.wire.messages[2].colour = 'red'), /colour/],
    ['empty message', (d) => (d.wire.messages[2].fields = []), /ping is empty/],
    ['header of another size', (d) => d.wire.header.pop(), /header has 24 bytes/],
    ['not ASCII', (d) => (d.wire.messages[2].doc = 'größer'), /printable ASCII/],
    ['end of a comment', (d) => (d.wire.messages[2].doc = 'a */ b'), /comment mark/],
    ['control message too large', (d) => (d.wire.messages[4].tail.max = 65_537), /facts is larger/],
    ['phase number twice', (d) => (d.phases.phases[1].number = 1), /number 1 is used twice/],
    ['fault id twice', (d) => (d.phases.phases[1].fault = 'F01'), /fault F01/],
    ['step without phase', (d) => (d.phases.phases.at(-1).parent = 'nap'), /parent nap/],
    ['error number twice', (d) => (d.errors.errors[1].number = 1), /number 1 is used twice/],
    ['error code twice', (d) => (d.errors.errors[1].code = 'bad-request'), /code bad-request/],
    ['unknown owner', (d) => (d.errors.errors[1].owner = 'nobody'), /errors\[1\].owner/],
  ];
  for (const [name, damage, message] of cases) {
    const broken = documents();
    damage(broken);
    t.throws(() => buildModel(broken.wire, broken.phases, broken.errors), { message }, name);
  }
  const whole = documents();
  t.doesNotThrow(() => buildModel(whole.wire, whole.phases, whole.errors));
});

t.test('limits agree with the messages that they are about', async (t) => {
  t.equal(LAYOUT.error.tail?.max_bytes, LIMITS.detail_bytes);
  t.equal(LAYOUT.chunk.tail?.max_bytes, LIMITS.chunk_bytes);
  t.equal(LAYOUT.probe.tail?.max_bytes, LIMITS.probe_bytes);
  t.equal(LAYOUT.kernel_stamps.fields.at(-1)?.bytes, LIMITS.phase_slots * 8);
});

t.test('--check', async (t) => {
  const copy = t.testdir({});
  for (const folder of ['agent/wire', 'agent/native/wire', 'docs']) {
    mkdirSync(join(copy, folder), { recursive: true });
  }
  cpSync(join(ROOT, 'agent/wire'), join(copy, 'agent/wire'), { recursive: true });
  copyFileSync(join(ROOT, 'docs/protocol.md'), join(copy, 'docs/protocol.md'));
  copyFileSync(join(ROOT, 'package.json'), join(copy, 'package.json'));
  const header = 'agent/native/wire/wire.gen.h';
  copyFileSync(join(ROOT, header), join(copy, header));
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(copy, 'agent/wire/generate.ts'), ...args], {
      encoding: 'utf8',
      timeout: 30_000,
    });

  t.equal(run('--check').status, 0, 'fresh files pass');
  t.equal(run('--chekc').status, 2, 'an unknown argument is refused');
  const page = readFileSync(join(copy, 'docs/protocol.md'), 'utf8');
  writeFileSync(join(copy, 'docs/protocol.md'), page.replace('`stalled`', '`stale`'));
  writeFileSync(join(copy, header), '');
  const stale = run('--check');
  t.equal(stale.status, 1);
  t.match(stale.stderr, /stale: agent\/native\/wire\/wire\.gen\.h\nstale: docs\/protocol\.md\n/);
  t.match(stale.stderr, /npm run generate/);
  t.equal(readFileSync(join(copy, header), 'utf8'), '', '--check writes nothing');
  t.equal(run().status, 0);
  t.equal(run('--check').status, 0, 'a run without --check brings them up to date');
  t.equal(readFileSync(join(copy, 'docs/protocol.md'), 'utf8'), page);
});
