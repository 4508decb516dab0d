import t from 'tap';
import {
  ERRORS,
  type ErrorCode,
  errorCodeFromNumber,
  errorFromNumber,
  isErrorCode,
  PmsmError,
  toPmsmError,
} from '../../../agent/wire/errors.ts';
import {
  addressFromWire,
  addressToWire,
  cutText,
  errorMessage,
  phaseNumber,
} from '../../../agent/wire/messages.ts';
import { faultOf, readText } from './support.ts';

const CODES = Object.keys(ERRORS) as ErrorCode[];

// Why an error that leaves the owner in doubt may still not exit with 5.
const IN_DOUBT_BUT_OTHER_EXIT: Partial<Record<ErrorCode, string>> = {
  'cannot-cancel': 'the migration goes on; only the request to cancel it failed',
  internal: 'it may strike before anything changed; the record says who owns the machine',
};

t.test('catalogue', async (t) => {
  t.test('numbers are unique and found again', async (t) => {
    t.equal(new Set(CODES.map((code) => ERRORS[code].number)).size, CODES.length);
    for (const code of CODES) {
      t.equal(errorCodeFromNumber(ERRORS[code].number), code);
    }
  });
  t.test('titles and remedies are sentences', async (t) => {
    for (const code of CODES) {
      t.match(ERRORS[code].title, /^[A-Z/].*[^.]\.$/, `title of ${code}`);
      t.match(ERRORS[code].remedy, /^[A-Z`].*\.$/s, `remedy of ${code}`);
    }
  });
  t.test('in doubt and exit code 5 go together, or it is explained', async (t) => {
    for (const code of CODES) {
      const { owner, exit } = ERRORS[code];
      const agrees = (owner === 'in-doubt') === (exit === 5);
      t.ok(agrees !== code in IN_DOUBT_BUT_OTHER_EXIT, code);
    }
  });
  t.test('exit 4 says that the source runs again', async (t) => {
    for (const code of CODES.filter((code) => ERRORS[code].exit === 4)) {
      t.equal(ERRORS[code].owner, 'source', code);
    }
  });
  t.test('exit 3 is a refusal before anything was changed', async (t) => {
    for (const code of CODES.filter((code) => ERRORS[code].exit === 3)) {
      t.equal(ERRORS[code].owner, 'source', code);
    }
  });
  t.test('each code has its anchor in the documentation', async (t) => {
    const page = readText('docs/protocol.md');
    for (const code of CODES) {
      t.ok(page.includes(`id="${new PmsmError(code).toProblem().type.split('#')[1]}"`), code);
    }
  });
});

t.test('PmsmError', async (t) => {
  t.test('carries what the catalogue says', async (t) => {
    const cause = new Error('EPIPE');
    const error = new PmsmError('stalled', 'No byte for 2000 ms.', { cause });
    t.match(error, {
      name: 'PmsmError',
      code: 'stalled',
      number: 42,
      owner: 'source',
      exitCode: 4,
      httpStatus: 504,
      detail: 'No byte for 2000 ms.',
      message: 'Nothing moved for longer than the stall limit. No byte for 2000 ms.',
    });
    t.equal(error.cause, cause);
    t.equal(new PmsmError('stalled').message, ERRORS.stalled.title);
  });
  t.test('is a problem of RFC 9457', async (t) => {
    t.same(new PmsmError('unknown-host', 'node9').toProblem(), {
      type: 'docs/protocol.md#error-unknown-host',
      title: ERRORS['unknown-host'].title,
      status: 404,
      detail: 'node9',
      code: 'unknown-host',
      owner: 'source',
      remedy: ERRORS['unknown-host'].remedy,
    });
  });
  t.test('comes from a number, an unknown one too', async (t) => {
    t.match(errorFromNumber(42, 'x'), { code: 'stalled', detail: 'x' });
    t.match(errorFromNumber(65_535, 'x'), { code: 'protocol-error', detail: /65535: x/ });
    t.equal(errorCodeFromNumber(0), undefined);
  });
  t.test('is made of anything thrown', async (t) => {
    const known = new PmsmError('timeout');
    const foreign = new TypeError('no');
    t.equal(toPmsmError(known), known);
    t.match(toPmsmError(foreign), { code: 'internal', detail: 'no', cause: foreign });
    t.match(toPmsmError('text'), { code: 'internal', detail: 'text' });
  });
});

t.test('isErrorCode knows codes and nothing else', async (t) => {
  t.ok(CODES.every(isErrorCode));
  for (const value of ['toString', '__proto__', '', 42, null, undefined, {}]) {
    t.notOk(isErrorCode(value), String(value));
  }
});

t.test('conversions', async (t) => {
  t.test('addresses lie in network byte order', async (t) => {
    t.equal(addressToWire('10.0.1.1'), 0x0101000a);
    for (const address of ['0.0.0.0', '255.255.255.255', '10.0.1.254']) {
      t.equal(addressFromWire(addressToWire(address)), address);
    }
    for (const address of ['', '10.0.1', '10.0.1.256', '::1', '10.0.1.1 ']) {
      t.equal(faultOf(() => addressToWire(address))?.code, 'bad-request', address);
    }
  });
  t.test('phases and steps have numbers', async (t) => {
    t.equal(phaseNumber('quarantine'), 6);
    t.equal(phaseNumber('copy'), 36);
  });
  t.test('an error fits into its message', async (t) => {
    const error = new PmsmError('stalled', 'é'.repeat(600));
    const message = errorMessage(error, 'send');
    t.match(message, { type: 'error', code: 42, phase: 9, system_errno: 0 });
    t.equal(message.detail, 'é'.repeat(256));
    t.equal(cutText('aé', 2), 'a');
    t.equal(cutText('a\u{1f600}b', 4), 'a');
    t.equal(errorMessage(error).phase, 0);
  });
});
