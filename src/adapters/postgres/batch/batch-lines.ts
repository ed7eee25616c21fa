import type { AttemptSummary } from "../../../domain/execution/execution.js";
import type { LedgerKey } from "../../../domain/ids.js";
import type { RequestFormat, RoutePolicy } from "../../../domain/job/job.js";
import type { RouteDecision } from "../../../domain/route/route-decision.js";
import type { BatchLine } from "../../../ports/batch-ledger.js";
import { INTENT_COLUMNS, readIntent } from "../attempt-rows.js";
import { int4Array, int8Array } from "../binary-array.js";
import { run } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { REQUEST_COLUMNS, requestOf } from "../stored-body.js";

const LINE_COLUMNS = `e.no, e.day, e.format, e.policy, ${REQUEST_COLUMNS}, e.history, e.decision, e.max_cost_nano, w.latest, a.batch_no, a.state,
  ${INTENT_COLUMNS}`;

/** The execution of an attempt `a`, and the latest deadline of the jobs that wait for it; $1 is the last day of any. */
const LINE_JOINS = `JOIN executions e ON e.no = a.execution_no AND e.day = a.day
  LEFT JOIN LATERAL (SELECT max(j.deadline_ms) AS latest FROM jobs j
                     WHERE j.execution_no = a.execution_no AND j.day BETWEEN a.day AND $1 AND j.state = 'active') w ON true`;

export async function openLines(
  context: LedgerContext,
  batchNo: number,
  after: number,
  limit: number,
): Promise<readonly BatchLine[]> {
  const rows = await run(
    context.pools.durable,
    "batch-lines-open",
    `SELECT ${LINE_COLUMNS} FROM (
       SELECT * FROM attempts WHERE batch_no = $2 AND no > $3 AND state = 'batched' ORDER BY no LIMIT $4) a ${LINE_JOINS} ORDER BY a.no + 0`,
    [context.today() + 1, batchNo, after, limit],
  );
  return rows.map(readLine);
}

/** The batch is compared by an expression: its index would be walked for each of the attempts (measured: 60 times slower). */
export async function linesByAttempt(
  context: LedgerContext,
  batchNo: number,
  attempts: readonly LedgerKey[],
): Promise<readonly BatchLine[]> {
  if (attempts.length === 0) return [];
  const rows = await run(
    context.pools.durable,
    "batch-lines-by-attempt",
    `SELECT ${LINE_COLUMNS} FROM unnest($3::int8[], $4::int4[]) WITH ORDINALITY AS k(no, day, place)
     JOIN attempts a ON a.no = k.no AND a.day = k.day AND a.batch_no + 0 = $2 ${LINE_JOINS} ORDER BY k.place`,
    [context.today() + 1, batchNo, int8Array(attempts.map(({ no }) => no)), int4Array(attempts.map(({ day }) => day))],
  );
  return rows.map(readLine);
}

function readLine(row: readonly (string | null)[]): BatchLine {
  const [no, day, format, policy, request, gzipped, history, decision, maxCost, latest, batchNo, state, ...intent] =
    row;
  return {
    execution: { no: Number(no), day: Number(day) },
    attempt: { ...readIntent(intent), batchNo: Number(batchNo) },
    format: format as RequestFormat, // written from an AdmittedJob
    policy: JSON.parse(policy ?? "{}") as RoutePolicy, // the same
    bodyText: requestOf(request, gzipped),
    history: JSON.parse(history ?? "[]") as AttemptSummary[], // written by finish and claim
    decision: decision === null || decision === undefined ? null : (JSON.parse(decision) as RouteDecision), // written from one
    maxCostNanoUsd: maxCost === null || maxCost === undefined ? null : BigInt(maxCost),
    latestDeadlineMs: latest === null || latest === undefined ? null : Number(latest),
    state: state === "batched" ? "batched" : "ended",
  };
}
