/** What a suite found. A skip names its reason; in CI the reasons that are allowed are few, see main.ts. */
export interface Tally {
  passed: number;
  failed: number;
  skipped: Skip[];
  /** Names of what failed, for the closing list. */
  failures: string[];
}

export interface Skip {
  name: string;
  reason: string;
}

export function emptyTally(): Tally {
  return { passed: 0, failed: 0, skipped: [], failures: [] };
}

export function addTally(total: Tally, part: Tally): void {
  total.passed += part.passed;
  total.failed += part.failed;
  total.skipped.push(...part.skipped);
  total.failures.push(...part.failures);
}
