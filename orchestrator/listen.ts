import { PmsmError } from '../agent/wire/errors.ts';

/** Why a port or socket could not be listened on, as one of the catalogue's errors. */
export function toListenError(error: unknown, where: string): PmsmError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE') return new PmsmError('port-taken', where);
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL') {
    return new PmsmError('bad-request', `cannot listen on ${where}: ${message}`);
  }
  return new PmsmError('internal', `cannot listen on ${where}: ${message}`);
}
