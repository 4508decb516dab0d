// PmsmError: the one error that crosses a boundary (wire, REST, CLI). Its texts and codes come from the catalogue.

import { type CatalogueEntry, ERRORS, type ErrorCode } from './errors.gen.ts';
import type { Owner } from './phases.gen.ts';

export type { CatalogueEntry, ErrorCode } from './errors.gen.ts';
export { ERRORS } from './errors.gen.ts';

/** RFC 9457 problem details, with the members that a script decides by. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: ErrorCode;
  owner: Owner;
  remedy: string;
}

const CODE_BY_NUMBER: ReadonlyMap<number, ErrorCode> = new Map(
  (Object.keys(ERRORS) as ErrorCode[]).map((code) => [ERRORS[code].number, code]),
);

export class PmsmError extends Error {
  override readonly name = 'PmsmError';
  readonly code: ErrorCode;
  /** What happened this time, for people; may be empty. */
  readonly detail: string;

  constructor(code: ErrorCode, detail = '', options?: ErrorOptions) {
    super(detail === '' ? ERRORS[code].title : `${ERRORS[code].title} ${detail}`, options);
    this.code = code;
    this.detail = detail;
  }

  get entry(): CatalogueEntry {
    return ERRORS[this.code];
  }

  get number(): number {
    return this.entry.number;
  }

  /** Which machine runs when this error ends an attempt. */
  get owner(): Owner {
    return this.entry.owner;
  }

  get exitCode(): number {
    return this.entry.exit;
  }

  get httpStatus(): number {
    return this.entry.http;
  }

  get title(): string {
    return this.entry.title;
  }

  get remedy(): string {
    return this.entry.remedy;
  }

  toProblem(): Problem {
    return {
      type: `docs/protocol.md#error-${this.code}`,
      title: this.title,
      status: this.httpStatus,
      detail: this.detail,
      code: this.code,
      owner: this.owner,
      remedy: this.remedy,
    };
  }
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERRORS, value);
}

/** The code with that number on the wire; undefined if the catalogue has none. */
export function errorCodeFromNumber(number: number): ErrorCode | undefined {
  return CODE_BY_NUMBER.get(number);
}

/** The error that a peer reported by number. An unknown number says so and counts as protocol-error. */
export function errorFromNumber(number: number, detail = ''): PmsmError {
  const code = errorCodeFromNumber(number);
  if (code !== undefined) {
    return new PmsmError(code, detail);
  }
  const text = `The peer reported the unknown error ${number}${detail === '' ? '.' : `: ${detail}`}`;
  return new PmsmError('protocol-error', text);
}

/** Whatever was thrown, as a PmsmError; a foreign error becomes `internal` with its cause kept. */
export function toPmsmError(thrown: unknown): PmsmError {
  if (thrown instanceof PmsmError) {
    return thrown;
  }
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  return new PmsmError('internal', detail, { cause: thrown });
}
