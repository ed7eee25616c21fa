import type { AttemptRow, Evidence, Violation } from "../evidence/evidence.js";
import { numberInId } from "../evidence/attempt-number.js";
import { attemptsByNo, jobKey, jobsByExecution, acceptedRecords } from "./lookups.js";
import { NOBODY, Violations } from "./violations.js";

/** No call begins after the last deadline of the jobs that wait for it, none of them succeeds after its own, and each has the deadline it asked for. */
export function checkDeadlines(evidence: Evidence): readonly Violation[] {
  const found = new Violations("deadlines");
  const { run, ledger, bill } = evidence;
  for (const attempt of ledger.attempts) {
    const deadlineMs = latestDeadline(evidence, attempt);
    if (attempt.state !== "not_sent" && deadlineMs !== null && attempt.startedMs > deadlineMs + run.limits.clockSkewMs)
      found.add(
        "begun_after_deadline",
        ownerOf(evidence, attempt),
        `attempt ${String(attempt.no)} began ${String(attempt.startedMs - deadlineMs)} ms after the last deadline`,
      );
  }
  for (const { attempt, atMs, mode } of bill) {
    const row = attemptsByNo(evidence).get(numberInId(attempt) ?? -1);
    const deadlineMs = row === undefined ? null : latestDeadline(evidence, row);
    // A batch is billed when the provider has run it: its lines began when it was created.
    if (row === undefined || atMs === null || deadlineMs === null || mode !== "direct") continue;
    const lateMs = atMs - run.callMsMax - run.limits.clockSkewMs - deadlineMs;
    if (lateMs > 0)
      found.add(
        "billed_after_deadline",
        ownerOf(evidence, row),
        `attempt ${attempt ?? ""} was billed ${String(lateMs)} ms later than a call that began in time`,
      );
  }
  checkJobs(evidence, found);
  return found.list;
}

/** Null: no job was ever there. */
function latestDeadline(evidence: Evidence, { executionNo }: AttemptRow): number | null {
  const jobs = jobsByExecution(evidence).get(executionNo) ?? [];
  return jobs.length === 0 ? null : Math.max(...jobs.map(({ deadlineMs }) => deadlineMs));
}

function ownerOf(
  evidence: Evidence,
  { executionNo }: AttemptRow,
): { readonly tenant?: string | null; readonly jobId?: string | null } {
  return jobsByExecution(evidence).get(executionNo)?.[0] ?? NOBODY;
}

function checkJobs(evidence: Evidence, found: Violations): void {
  for (const job of evidence.ledger.jobs) {
    const { state, endedMs, deadlineMs, generation } = job;
    if (state === "succeeded" && endedMs !== null && endedMs > deadlineMs)
      found.add("succeeded_after_deadline", job, `it succeeded ${String(endedMs - deadlineMs)} ms after its deadline`);
    if (state === "expired" && endedMs !== null && endedMs < deadlineMs - evidence.run.limits.clockSkewMs)
      found.add("expired_before_deadline", job, `it expired ${String(deadlineMs - endedMs)} ms before its deadline`);
    const asked = acceptedRecords(evidence).get(jobKey(job.tenant, job.jobId))?.deadlineMs ?? null;
    if (generation === 0 && asked !== null && asked !== deadlineMs)
      found.add(
        "other_deadline",
        job,
        `asked for ${new Date(asked).toISOString()}, got ${new Date(deadlineMs).toISOString()}`,
      );
  }
}
