import type pg from "pg";
import type { EndedState } from "../../domain/execution/execution.js";
import type { LedgerKey } from "../../domain/ids.js";
import type { EndingJob, JobEnd } from "../../domain/result/outgoing.js";
import { stageOfLast } from "../../domain/stage.js";
import { int4Array, int8Array } from "./binary-array.js";
import { noOf } from "./columns.js";
import { run } from "./connection.js";
import { ENDING_COLUMNS, readEndingJob, type EndingWithReason } from "./ending.js";
import type { LedgerContext } from "./ledger-context.js";
import { answerOf, historyOf, type NewCall } from "./new-call.js";
import { waiterDays } from "./waiters.js";

/** Why the jobs of an ended execution end. */
export interface JobEndReason {
  readonly call: NewCall;
  readonly failure: JobEnd["failure"];
}

type Rows = readonly (readonly (string | null)[])[];

/** What the jobs of a group's executions end by. */
export interface GroupEnds {
  /** `rows`: what `endAnswered` gave for them. */
  readonly answered: { readonly calls: readonly NewCall[]; readonly rows: Rows };
  readonly failed: readonly JobEndReason[];
}

/** Ends the jobs that wait for the failed executions, and says of all jobs of the group that ended, those `answered` included, why. */
export async function endWaiters(
  client: pg.PoolClient,
  context: LedgerContext,
  nowMs: number,
  { answered, failed }: GroupEnds,
): Promise<{ readonly items: EndingWithReason[]; readonly served: Set<number> }> {
  const served = new Set<number>();
  const byExecution = new Map<number, JobEndReason>();
  for (const call of answered.calls) byExecution.set(call.execution.no, { call, failure: null });
  for (const reason of failed) byExecution.set(reason.call.execution.no, reason);
  if (byExecution.size === 0) return { items: [], served };
  const rows = [...answered.rows];
  rows.push(
    ...(await endFailed(
      client,
      context,
      nowMs,
      failed.map(({ call, failure }) => ({ execution: call.execution, code: failure?.code ?? null })),
    )),
  );
  const jobs: EndingJob[] = [];
  for (const row of rows) jobs.push(readEndingJob(context, row));
  jobs.sort(byNo);
  const payers = payersOf(jobs);
  const items: EndingWithReason[] = [];
  for (const job of jobs) {
    const executionNo = job.execution?.no ?? -1;
    const reason = byExecution.get(executionNo);
    if (reason === undefined) throw new Error("InvariantError: a job ended for an execution that did not");
    const payer = payers.get(executionNo) ?? job.key;
    const isPayer = payer.no === job.key.no;
    // A first charge under the attempt's number; a late answer of a settled doubt has one already and is corrected apart.
    const pays = isPayer && reason.call.chargeIsFirst;
    if (pays && answerOf(reason.call) !== null) served.add(executionNo);
    items.push({ job, end: endOf(job.status, reason, pays ? job.key : payer, pays, nowMs) });
  }
  return { items, served };
}

function byNo(one: EndingJob, other: EndingJob): number {
  return one.key.no - other.key.no;
}

/**
 * Ends the jobs that wait for those of these executions to which the transaction itself gave an answer before: their rows carry its number. So
 * it can be sent right behind that statement. One past its deadline is `expired`, whatever the answer.
 */
export async function endAnswered(
  client: pg.PoolClient,
  context: LedgerContext,
  nowMs: number,
  executions: readonly LedgerKey[],
): Promise<Rows> {
  const [first] = executions;
  if (first === undefined) return [];
  const limit = executions.length + context.settings.waitersMax;
  const nos = int8Array(executions.map(noOf));
  const rows = await run(
    client,
    "jobs-end-answered",
    `WITH waiting AS MATERIALIZED (
       SELECT w.no, w.day FROM jobs w
       WHERE w.execution_no = ANY($2::int8[]) AND w.day BETWEEN $4 AND $5 AND w.state = 'active'
         AND (SELECT e.xmin FROM executions e WHERE e.no = w.execution_no AND e.day = $6 AND e.state = 'succeeded') = pg_current_xact_id()::xid
       LIMIT $3)
     UPDATE jobs j SET ended_ms = $1, failure_code = CASE WHEN j.deadline_ms < $1 THEN 'DEADLINE_EXCEEDED' END,
       state = CASE WHEN j.deadline_ms < $1 THEN 'expired' ELSE 'succeeded' END
     FROM waiting w WHERE j.no = w.no AND j.day + 0 = w.day AND j.day BETWEEN $4 AND $5 AND j.state = 'active'
     RETURNING ${ENDING_COLUMNS}, ${HOW_MANY_WAITED}`,
    [nowMs, nos, limit, ...waiterDays(context, executions), first.day],
  );
  if (mayLeaveSome(rows, limit)) await noteUnanswered(client, context, executions);
  return rows;
}

/** An execution that this transaction has failed, and its jobs' code. */
export interface FailedExecution {
  readonly execution: LedgerKey;
  readonly code: string | null;
}

/** Ends the jobs that wait for these executions, at most `waitersMax` beside one each; the sweep is left the rest. */
export async function endFailed(
  client: pg.PoolClient,
  context: LedgerContext,
  nowMs: number,
  failed: readonly FailedExecution[],
): Promise<Rows> {
  const rows: Rows[number][] = [];
  for (const [code, executions] of byCode(failed)) {
    // Serial: rare, and nearly always one statement.
    rows.push(...(await endFailedAlike(client, context, nowMs, code, executions)));
  }
  return rows;
}

/** Executions that end in the same way. State and code are then two values: a join of two lists would cost their product. */
function byCode(failed: readonly FailedExecution[]): ReadonlyMap<string | null, readonly LedgerKey[]> {
  const groups = new Map<string | null, LedgerKey[]>();
  for (const { execution, code } of failed) {
    const group = groups.get(code);
    if (group === undefined) groups.set(code, [execution]);
    else group.push(execution);
  }
  return groups;
}

async function endFailedAlike(
  client: pg.PoolClient,
  context: LedgerContext,
  nowMs: number,
  code: string | null,
  executions: readonly LedgerKey[],
): Promise<Rows> {
  const limit = executions.length + context.settings.waitersMax;
  const rows = await run(
    client,
    "jobs-end-failed",
    `WITH waiting AS MATERIALIZED (
       SELECT w.no, w.day FROM jobs w
       WHERE w.execution_no = ANY($2::int8[]) AND w.day BETWEEN $5 AND $6 AND w.state = 'active' LIMIT $4)
     UPDATE jobs j SET ended_ms = $1, failure_code = CASE WHEN j.deadline_ms < $1 THEN 'DEADLINE_EXCEEDED' ELSE $3 END,
       state = CASE WHEN j.deadline_ms < $1 THEN 'expired' ELSE 'failed' END
     FROM waiting w WHERE j.no = w.no AND j.day + 0 = w.day AND j.day BETWEEN $5 AND $6 AND j.state = 'active'
     RETURNING ${ENDING_COLUMNS}, ${HOW_MANY_WAITED}`,
    [nowMs, int8Array(executions.map(({ no }) => no)), code, limit, ...waiterDays(context, executions)],
  );
  if (mayLeaveSome(rows, limit)) await noteUnanswered(client, context, executions);
  return rows;
}

/** The last column of each row: how many jobs the statement found before it locked them. */
const HOW_MANY_WAITED = "(SELECT count(*) FROM waiting)";

/**
 * Whether jobs may be left that still wait. Those that were found tell, not those that ended: one that is cancelled at that instant was found
 * in place of another. Where none ended nothing is known.
 */
function mayLeaveSome(rows: Rows, limit: number): boolean {
  const [first] = rows;
  return first === undefined || Number(first.at(-1)) === limit;
}

/** Of these executions those that have ended and that a job still waits for. */
async function noteUnanswered(
  client: pg.PoolClient,
  context: LedgerContext,
  executions: readonly LedgerKey[],
): Promise<void> {
  await run(
    client,
    "unanswered-insert",
    `INSERT INTO unanswered (execution_no, execution_day)
     SELECT e.no, e.day FROM unnest($1::int8[], $2::int4[]) AS k(no, day) JOIN executions e ON e.no = k.no AND e.day = k.day
     WHERE e.state IN ('succeeded', 'failed')
       AND EXISTS (SELECT 1 FROM jobs w WHERE w.execution_no = e.no AND w.day BETWEEN $3 AND $4 AND w.state = 'active')
     ON CONFLICT DO NOTHING`,
    [
      int8Array(executions.map(({ no }) => no)),
      int4Array(executions.map(({ day }) => day)),
      ...waiterDays(context, executions),
    ],
  );
}

/** The job that opened the execution pays; when it has left, the first of those that are served. */
function payersOf(
  jobs: readonly { readonly key: LedgerKey; readonly execution: LedgerKey | null }[],
): Map<number, LedgerKey> {
  const payers = new Map<number, LedgerKey>();
  for (const job of jobs) {
    const executionNo = job.execution?.no ?? -1;
    if (!payers.has(executionNo)) payers.set(executionNo, job.key);
    if (job.key.no === executionNo) payers.set(executionNo, job.key);
  }
  return payers;
}

function endOf(status: EndedState, reason: JobEndReason, payer: LedgerKey, pays: boolean, nowMs: number): JobEnd {
  const { call } = reason;
  const expired = status === "expired";
  return {
    answer: answerOf(call),
    failure: expired
      ? {
          code: "DEADLINE_EXCEEDED",
          message: "the deadline passed before the answer was there",
          provider: null,
          retryAtMs: null,
        }
      : reason.failure,
    served: pays ? "call" : "coalesced",
    payer,
    history: historyOf(call),
    stage: stageOfLast(historyOf(call)),
    endedAtMs: nowMs,
  };
}
