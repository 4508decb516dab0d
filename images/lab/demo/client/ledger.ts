/**
 * The ledger: the table that the demo's client fills, and the client's own record of every row that
 * the server acknowledged. Both sides of the final comparison are made from what stands here.
 */
import { createHash } from 'node:crypto';
import type { Commit } from '../gaps.ts';

export const LEDGER = 'ledger';

/** A run ends before this; it bounds the record file (48 MB) and the digest's work. */
export const MAX_ROWS = 2_000_000;

export const CREATE_LEDGER = `CREATE TABLE ${LEDGER} (
  sequence BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  payload VARCHAR(64) NOT NULL
) ENGINE=InnoDB`;

export const INSERT_ROW = `INSERT INTO ${LEDGER} (sequence, payload) VALUES (?, ?)`;

/**
 * The server reads every row for this, so a row that is counted but damaged shows.
 * SHA2, since MySQL 9.7 has neither SHA1 nor MD5 any more.
 */
export const SUMMARISE = `SELECT COUNT(*) AS row_count,
  COALESCE(SUM(sequence), 0) AS sequence_sum,
  COALESCE(MAX(sequence), 0) AS sequence_max,
  COALESCE(BIT_XOR(CAST(CONV(LEFT(SHA2(CONCAT(sequence, ':', payload), 256), 16), 16, 10) AS UNSIGNED)), 0)
    AS digest
  FROM ${LEDGER}`;

export const READ_PAGE = `SELECT sequence, payload FROM ${LEDGER}
  WHERE sequence > ? ORDER BY sequence LIMIT 10000`;

/** Count, sum, highest number and digest of a set of rows; the order does not matter. */
export interface Summary {
  readonly row_count: bigint;
  readonly sequence_sum: bigint;
  readonly sequence_max: bigint;
  readonly digest: bigint;
}

export const NO_ROWS: Summary = { row_count: 0n, sequence_sum: 0n, sequence_max: 0n, digest: 0n };

/** Any row's payload can be made again from its number, so nothing but numbers need be kept. */
export function payloadOf(sequence: number): string {
  return createHash('sha256').update(`row ${sequence}`).digest('hex');
}

export function digestRow(sequence: number, payload: string): bigint {
  const hex = createHash('sha256').update(`${sequence}:${payload}`).digest('hex');
  return BigInt(`0x${hex.slice(0, 16)}`);
}

export function addRow(summary: Summary, sequence: number): Summary {
  const number = BigInt(sequence);
  return {
    row_count: summary.row_count + 1n,
    sequence_sum: summary.sequence_sum + number,
    sequence_max: number > summary.sequence_max ? number : summary.sequence_max,
    digest: summary.digest ^ digestRow(sequence, payloadOf(sequence)),
  };
}

export function sameRows(a: Summary, b: Summary): boolean {
  return (
    a.row_count === b.row_count &&
    a.sequence_sum === b.sequence_sum &&
    a.sequence_max === b.sequence_max &&
    a.digest === b.digest
  );
}

export function parseSummary(row: Record<string, unknown>): Summary {
  const number = (name: string) => BigInt(String(row[name]));
  return {
    row_count: number('row_count'),
    sequence_sum: number('sequence_sum'),
    sequence_max: number('sequence_max'),
    digest: number('digest'),
  };
}

export const RECORD_BYTES = 24;

export function encodeCommit(commit: Commit): Buffer {
  const record = Buffer.alloc(RECORD_BYTES);
  record.writeBigUInt64LE(BigInt(commit.sequence), 0);
  record.writeBigUInt64LE(commit.begin_ns, 8);
  record.writeBigUInt64LE(commit.end_ns, 16);
  return record;
}

/** A record cut off by a full disk or a killed client is left out. */
export function decodeCommits(data: Buffer): Commit[] {
  const commits: Commit[] = [];
  for (let at = 0; at + RECORD_BYTES <= data.length; at += RECORD_BYTES) {
    commits.push({
      sequence: Number(data.readBigUInt64LE(at)),
      begin_ns: data.readBigUInt64LE(at + 8),
      end_ns: data.readBigUInt64LE(at + 16),
    });
  }
  return commits;
}
