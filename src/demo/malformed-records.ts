/** How often bytes that do not parse go between the jobs: one record per this many jobs. */
export const JOBS_PER_MALFORMED_RECORD = 100;

/**
 * The bytes of malformed record `number` (from 0), different for each number: cut-off JSON, text that is no UTF-8, plain words,
 * and JSON with something behind it, in turn. None of them names a tenant that could be believed, so each may only become a dead
 * letter with these very bytes.
 */
export function malformedRecord(number: number): Buffer {
  const label = `broken-${String(number)}`;
  switch (number % 4) {
    case 0:
      return Buffer.from(`{"jobId":"${label}","tenant":"catalogue","body":{"model":"cheap","mess`, "utf8");
    case 1:
      return Buffer.concat([
        Buffer.from(`{"jobId":"${label}","tenant":"shop","body":"`, "utf8"),
        Buffer.from([0xc3, 0x28, 0xf0, 0x9f, 0xff]),
        Buffer.from(`"}`, "utf8"),
      ]);
    case 2:
      return Buffer.from(`please rate film ${label}, thanks`, "utf8");
    default:
      return Buffer.from(`{"jobId":"${label}","tenant":"shop","body":{}} }{`, "utf8");
  }
}

export function malformedRecordCount(jobs: number): number {
  return Math.floor(jobs / JOBS_PER_MALFORMED_RECORD);
}
