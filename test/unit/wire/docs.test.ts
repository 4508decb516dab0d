// docs/protocol.md: what a reader would try out must be true.

import t from 'tap';
import { encodeFrame } from '../../../agent/wire/codec.ts';
import { LAYOUT } from '../../../agent/wire/wire.gen.ts';
import { readText } from './support.ts';

const PAGE = readText('docs/protocol.md');

t.test('the frame shown as an example is one', async (t) => {
  const lines = PAGE.split('\n').filter((line) => /^ {4}([0-9a-f]{2} {1,2})+/.test(line));
  const hex = lines
    .map((line) => /^ {4}((?:[0-9a-f]{2} {1,2})+)/.exec(line)?.[1]?.replaceAll(' ', '') ?? '')
    .join('');
  const shown = { chunk_bytes: 1 << 20, image_format: 1, engine: 'delta' } as const;
  t.equal(hex, encodeFrame({ type: 'stream_open', ...shown }, 1).toString('hex'));
});

t.test('links inside the page lead somewhere', async (t) => {
  const headings = [...PAGE.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    (heading ?? '')
      .toLowerCase()
      .replaceAll(/[^a-z0-9_ -]/g, '')
      .replaceAll(' ', '-'),
  );
  const links = [...PAGE.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor ?? '');
  t.ok(links.length > Object.keys(LAYOUT).length, `${links.length} links`);
  t.same(
    links.filter((anchor) => !headings.includes(anchor)),
    [],
  );
  t.equal(new Set(headings).size, headings.length, 'headings are unique');
});

t.test('every message appears in one of the diagrams', async (t) => {
  const drawn = PAGE.split('\n')
    .filter((line) => /^ {4} {2}[|X]/.test(line))
    .join('\n');
  const missing = Object.keys(LAYOUT).filter((name) => !new RegExp(`\\b${name}\\b`).test(drawn));
  t.same(missing, []);
});
