import type { FilmJob } from "../../demo/film-jobs.js";
import type { Film } from "../../demo/films.js";
import { malformedRecord } from "../../demo/malformed-records.js";
import type { PublishedKind } from "../evidence/evidence.js";
import { chaosJob, isLate, otherRequest } from "./chaos-jobs.js";

/** A record that is to be published, before it is encoded. */
export type PlannedRecord =
  | { readonly kind: Extract<PublishedKind, "job" | "duplicate" | "conflict" | "refused">; readonly job: FilmJob }
  | { readonly kind: "malformed"; readonly value: Buffer; readonly number: number }
  | { readonly kind: "cancel"; readonly job: FilmJob };

const DUPLICATE_EVERY = 29;
/** A repeated record comes so many jobs after the first: sometimes its job has ended, sometimes not. */
const DUPLICATE_AFTER = [3, 180] as const;
const CONFLICT_EVERY = 211;
const CONFLICT_AFTER = 60;
const REFUSED_EVERY = 197;
const CANCEL_EVERY = 67;
const CANCEL_AFTER = 2;
const MALFORMED_EVERY = 100;

/**
 * What is published at job `number`: the job, and now and then one of the others, about a job that was sent before. Pure: the whole
 * stream of records follows from the numbers.
 */
export function recordsAt(number: number, films: readonly Film[]): readonly PlannedRecord[] {
  const records: PlannedRecord[] = [{ kind: "job", job: chaosJob(number, films) }];
  const about = (earlier: number, kind: "duplicate" | "conflict" | "cancel"): void => {
    if (earlier < 0 || isLate(earlier)) return;
    const job = chaosJob(earlier, films);
    records.push({ kind, job: kind === "conflict" ? otherRequest(job) : job });
  };
  if (number % DUPLICATE_EVERY === 7) {
    const round = Math.floor(number / DUPLICATE_EVERY);
    about(number - (DUPLICATE_AFTER[round % DUPLICATE_AFTER.length] ?? 1), "duplicate");
  }
  if (number % CONFLICT_EVERY === 100) about(number - CONFLICT_AFTER, "conflict");
  if (number % CANCEL_EVERY === 30) about(number - CANCEL_AFTER, "cancel");
  if (number % REFUSED_EVERY === 90) records.push({ kind: "refused", job: refusedJob(number, films) });
  if ((number + 1) % MALFORMED_EVERY === 0) {
    const malformed = (number + 1) / MALFORMED_EVERY - 1;
    records.push({ kind: "malformed", value: malformedRecord(malformed), number: malformed });
  }
  return records;
}

/** What a refused job must be told. */
export const REFUSED_CODE = "UNKNOWN_MODEL";
/** What a second request under a known id must be told. */
export const CONFLICT_CODE = "ID_CONFLICT";

/** A job of its own that names a model which nobody has. */
function refusedJob(number: number, films: readonly Film[]): FilmJob {
  const job = chaosJob(number, films);
  return {
    ...job,
    jobId: `refused-${String(number)}`,
    encoding: "json",
    body: { ...job.body, model: "no-such-model" },
  };
}
