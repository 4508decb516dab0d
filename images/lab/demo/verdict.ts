/** Whether all holds, and if not, what does not: one sentence each. */
import type { Report, ReportFile } from './report/schema.ts';

export function failuresOf(report: Report): string[] {
  const { client, verification } = report;
  const failed: string[] = [];
  if (report.outcome !== 'moved') failed.push(`the machine did not move: ${report.outcome}`);
  if (report.error !== null) failed.push(`${report.error.code}: ${report.error.detail}`);
  if (report.owner !== 'target') failed.push(`the machine is owned by: ${report.owner}`);
  if (client.connection_survived === false) failed.push("the client's connection did not survive");
  if (client.committed === 0) failed.push('the client committed nothing');
  if (client.lost > 0) failed.push(`${client.lost} acknowledged rows are missing`);
  for (const error of client.errors) failed.push(`client: ${error}`);
  if (report.downtime_ms.client === null) failed.push("the client's downtime has no end");
  if (!verification.rows) failed.push('the rows do not agree');
  if (verification.memory === false) failed.push('the memory of the witness changed');
  if (verification.file === false) failed.push('the file of the witness changed');
  if (verification.continued === false) failed.push('uptime, boot or process did not go on');
  if (verification.services === false)
    failed.push('not all services run in the process that they had');
  if (!verification.kernels) failed.push('a kernel complained');
  if (verification.frames === false) failed.push(sayFrames(report));
  if (!verification.disk) failed.push('e2fsck found the disk damaged');
  return failed;
}

function sayFrames({ check, differing_frames }: Report): string {
  if (check === null) return 'the page frames were not compared';
  const wrong = differing_frames.filter(({ reason }) => reason === null);
  const first = wrong.slice(0, 8).map(({ pfn, how }) => `${pfn} (${how})`);
  const count = check.differing + check.one_sided - differing_frames.length + wrong.length;
  return `${count} page frames differ without a reason, first: ${first.join(', ')}`;
}

/** Every move that was asked for was made, and every one holds. */
export function makeFile(moves: readonly Report[], wanted: number): ReportFile {
  const ok = moves.length === wanted && moves.every((move) => move.ok);
  return { version: 1, ok, moves: [...moves] };
}
