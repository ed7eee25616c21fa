import type { Evidence, ExecutionRow, JobRow, ResultRecord, Violation } from "../evidence/evidence.js";
import {
  acceptedRecords,
  attemptsByExecution,
  executionsByNo,
  generationKey,
  groupBy,
  jobKey,
  jobsByExecution,
  jobsByNo,
  resultsByGeneration,
} from "./lookups.js";
import { Violations } from "./violations.js";

/**
 * Equal requests of a tenant are called once: no second execution of a request while one of it is unfinished or its answer may be shared; jobs
 * that share an execution asked the very same, of the same tenant, and got the same answer; attempts are numbered without a gap.
 */
export function checkDedupe(evidence: Evidence): readonly Violation[] {
  const found = new Violations("dedupe");
  for (const executions of groupBy(keyed(evidence), laneKey).values()) checkLane(evidence, executions, found);
  for (const [executionNo, jobs] of jobsByExecution(evidence))
    if (executionNo !== null) checkSharing(evidence, executionNo, jobs, found);
  for (const [executionNo, attempts] of attemptsByExecution(evidence)) {
    const numbers = [...new Set(attempts.map(({ number }) => number))];
    const counted = executionsByNo(evidence).get(executionNo)?.attempts ?? 0;
    if (attempts.length > 0 && Math.max(...numbers) > counted)
      found.add(
        "attempts_not_counted",
        ownerOf(evidence, executionNo),
        `execution ${String(executionNo)} counts ${String(counted)} attempts and has number ${String(Math.max(...numbers))}`,
      );
  }
  return found.list;
}

function keyed({ ledger }: Evidence): readonly ExecutionRow[] {
  return ledger.executions.filter(({ key }) => key !== null);
}

/** A job in a hurry may get an execution beside one that waits, in a lane of its own. */
function laneKey({ tenant, key, lane }: ExecutionRow): string {
  return JSON.stringify([tenant, key, lane]);
}

function checkLane(evidence: Evidence, executions: ExecutionRow[], found: Violations): void {
  const ordered = executions
    .map((execution) => ({ execution, opener: jobsByNo(evidence).get(execution.no) ?? null }))
    .sort((a, b) => (a.opener?.acceptedMs ?? 0) - (b.opener?.acceptedMs ?? 0) || a.execution.no - b.execution.no);
  ordered.forEach(({ execution, opener }, place) => {
    if (opener === null || opener.generation > 0 || !mayBeServed(evidence, opener)) return; // a replay may ask again
    for (const { execution: earlier } of ordered.slice(0, place)) {
      const why = whyShared(evidence, earlier, opener);
      if (why !== null)
        found.add(
          "called_again",
          opener,
          `execution ${String(execution.no)} was opened though ${String(earlier.no)} of the same request ${why}`,
        );
    }
  });
}

/** A job may ask not to be served from the answers of others. */
function mayBeServed(evidence: Evidence, { tenant, jobId }: JobRow): boolean {
  return acceptedRecords(evidence).get(jobKey(tenant, jobId))?.shared !== false;
}

/** Null: the earlier one could serve nobody any more. */
function whyShared({ run }: Evidence, earlier: ExecutionRow, { acceptedMs }: JobRow): string | null {
  const { state, endedMs, cacheable } = earlier;
  const { cacheMaxAgeMs, clockSkewMs } = run.limits;
  if (state === "dropped") return null; // it ended unasked for, and no column says when
  if (endedMs === null || endedMs > acceptedMs + clockSkewMs) return "was unfinished";
  const age = acceptedMs - endedMs;
  if (state === "succeeded" && cacheable === true && age > clockSkewMs && age < cacheMaxAgeMs - clockSkewMs)
    return `had its answer ${String(age)} ms before`;
  return null;
}

function checkSharing(evidence: Evidence, executionNo: number, jobs: readonly JobRow[], found: Violations): void {
  const execution = executionsByNo(evidence).get(executionNo);
  const [first] = jobs;
  if (execution === undefined || first === undefined) {
    if (first !== undefined)
      found.add("execution_gone", first, `its execution ${String(executionNo)} is not in the ledger`);
    return;
  }
  const asked = requestOf(evidence, first);
  for (const job of jobs) {
    if (job.tenant !== execution.tenant)
      found.add(
        "shared_across_tenants",
        job,
        `it waits for execution ${String(executionNo)} of tenant ${execution.tenant}`,
      );
    if (requestOf(evidence, job) !== asked)
      found.add(
        "shared_by_others",
        job,
        `it shares execution ${String(executionNo)} with ${first.jobId}, which asked something else`,
      );
  }
  checkAnswers(evidence, execution, jobs, found);
}

function requestOf(evidence: Evidence, { tenant, jobId }: JobRow): string | null {
  return acceptedRecords(evidence).get(jobKey(tenant, jobId))?.requestKey ?? null;
}

/** Jobs of one execution end as it does, unless their own time was over or they were cancelled; answered ones have the same answer. */
function checkAnswers(evidence: Evidence, execution: ExecutionRow, jobs: readonly JobRow[], found: Violations): void {
  const name = `execution ${String(execution.no)}`;
  const results = jobs.flatMap(
    (job) => resultsByGeneration(evidence).get(generationKey(job.tenant, job.jobId, job.generation))?.[0] ?? [],
  );
  const answered = results.filter(({ status }) => status === "succeeded");
  const [first] = answered;
  for (const result of answered)
    if (first !== undefined && answerOf(result) !== answerOf(first))
      found.add("other_answer", result, `${name} answered it and ${first.jobId} with different texts`);
  for (const job of jobs)
    if (job.state === "succeeded" && !mayServe(execution, job))
      found.add("other_end", job, `it succeeded, ${name} is ${execution.state}`);
}

/** A replay is served by an answer that came when its execution had ended without. */
function mayServe({ state, cacheable }: ExecutionRow, { generation }: JobRow): boolean {
  return state === "succeeded" || (generation > 0 && cacheable !== null);
}

function answerOf({ answerText }: ResultRecord): string | null {
  return answerText;
}

function ownerOf(
  evidence: Evidence,
  executionNo: number,
): { readonly tenant: string | null; readonly jobId: string | null } {
  const [job] = jobsByExecution(evidence).get(executionNo) ?? [];
  return { tenant: job?.tenant ?? null, jobId: job?.jobId ?? null };
}
