import { ERRORS, type ErrorCode, isErrorCode, type PmsmError } from '../../agent/wire/errors.ts';
import type { MigrationView, PreflightAnswer } from '../api/schemas.ts';

/** See the head of agent/wire/errors.yaml. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  source_runs: 4,
  in_doubt: 5,
  conflict: 6,
  timeout: 7,
  interrupted: 130,
} as const;

/** The outcome tells who runs; within it the error can be more precise. */
export function exitCodeOf({ outcome, error }: Pick<MigrationView, 'outcome' | 'error'>): number {
  const code = isErrorCode(error?.code) ? ERRORS[error.code as ErrorCode].exit : undefined;
  switch (outcome) {
    case 'moved':
      return error ? EXIT.failed : EXIT.ok;
    case 'in-doubt':
      return EXIT.in_doubt;
    case 'rolled-back':
      return code === EXIT.timeout ? EXIT.timeout : EXIT.source_runs;
    case 'refused':
      return code === undefined || code === EXIT.source_runs ? EXIT.refused : code;
    case null:
      return EXIT.ok;
  }
}

export function exitCodeOfCheck({ ok }: PreflightAnswer): number {
  return ok ? EXIT.ok : EXIT.refused;
}

export function exitCodeOfError(error: PmsmError): number {
  return error.exitCode;
}
