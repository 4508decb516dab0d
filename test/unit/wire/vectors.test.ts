// Golden vectors: what the frames of this version are, byte by byte. C decodes the same list.

import t from 'tap';
import { encodeFrame } from '../../../agent/wire/codec.ts';
import { isErrorCode } from '../../../agent/wire/errors.ts';
import { HEADER_BYTES, LAYOUT } from '../../../agent/wire/wire.gen.ts';
import {
  anyDecoder,
  decodeAll,
  faultOf,
  fromHex,
  messageOf,
  readText,
  VECTORS,
} from './support.ts';

t.test('every message has a vector', async (t) => {
  const covered = new Set(VECTORS.good.map((vector) => vector.message.type));
  t.same(
    Object.keys(LAYOUT).filter((name) => !covered.has(name)),
    [],
    'add the missing ones to agent/wire/vectors/messages.json',
  );
});

t.test('good frames decode to their message and encode to their bytes', async (t) => {
  for (const vector of VECTORS.good) {
    const message = messageOf(vector);
    t.ok(vector.name.split('.')[0] === message.type, `${vector.name} begins with its message`);
    const decoded = decodeAll(anyDecoder(), fromHex(vector.hex));
    t.same(decoded, [message], `${vector.name} decodes`);
    t.equal(encodeFrame(message, 0).toString('hex'), vector.hex, `${vector.name} encodes`);
  }
});

t.test('bad frames are refused with their error', async (t) => {
  for (const vector of VECTORS.bad) {
    t.ok(isErrorCode(vector.error), `${vector.name} names an error of the catalogue`);
    const fault = faultOf(() => decodeAll(anyDecoder(), fromHex(vector.hex)));
    t.equal(fault?.code, vector.error, `${vector.name}: ${vector.why}`);
  }
});

t.test('bad headers are refused before any payload arrives', async (t) => {
  const late = new Set(['digest-mismatch']);
  const lateNames = /^(reserved|enum)-/;
  const early = new Set(['header-digest-first', 'header-digest-last', 'type-damaged']);
  for (const vector of VECTORS.bad) {
    const head = fromHex(vector.hex).subarray(0, HEADER_BYTES);
    const fault = faultOf(() => decodeAll(anyDecoder(), head));
    const needsPayload =
      !early.has(vector.name) && (late.has(vector.error) || lateNames.test(vector.name));
    if (vector.name !== 'digest-of-empty') {
      t.equal(fault === undefined, needsPayload, vector.name);
    }
  }
});

t.test('the text form for C holds the same vectors', async (t) => {
  const lines = readText('agent/wire/vectors/frames.txt').trimEnd().split('\n');
  t.equal(lines.length, VECTORS.good.length + VECTORS.bad.length);
  for (const line of lines) {
    t.match(line, /^(good [a-z0-9_.-]+ [0-9a-f]+|bad [a-z0-9_.-]+ [a-z-]+ [0-9a-f]+)$/);
  }
  const names = [...VECTORS.good, ...VECTORS.bad].map((vector) => vector.name);
  t.equal(new Set(names).size, names.length, 'names are unique');
});
