import type pg from "pg";
import type { AttemptSummary, WaitingExecution } from "../../domain/execution/execution.js";
import type { AttemptOutcome } from "../../domain/failure.js";
import type { JobMode, RequestFormat, RoutePolicy } from "../../domain/job/job.js";
import { EXPLAIN_MARK } from "../../domain/result/envelope.js";
import { INTENT_COLUMNS, readIntent } from "./attempt-rows.js";
import { int4Array, int8Array } from "./binary-array.js";
import { run } from "./connection.js";
import type { LedgerContext } from "./ledger-context.js";
import { LINE_COLUMNS, LINES_OUT, readLineOut } from "./rescue.js";
import { REQUEST_COLUMNS, requestOf } from "./stored-body.js";
import type { TakenRow } from "./taken-row.js";
import { waiterDays } from "./waiters.js";

/** Those of `LINE_COLUMNS`, and when the batch is expected. */
const LINE_COLUMN_COUNT = 6;

export interface LoadedExecution {
  readonly execution: WaitingExecution;
  readonly attempts: number;
  readonly priority: number;
  readonly bytes: number;
  /** As in its row. */
  readonly level: string | null;
}

/** Those that some job still waits for. */
export async function loadWaiting(
  client: pg.PoolClient,
  context: LedgerContext,
  keys: readonly TakenRow[],
  of: keyof typeof LINES_OUT,
): Promise<LoadedExecution[]> {
  const lines = LINES_OUT[of];
  const rows = await run(
    client,
    `executions-load-waiting-${of}`,
    `SELECT e.no, e.day, e.tenant_no, e.state, e.format, e.policy, ${REQUEST_COLUMNS}, e.history, e.route_index, e.attempts, e.max_cost_nano, e.mode,
       w.latest, w.nearest, w.priority, w.explain, ${LINE_COLUMNS}, ${lines.expected}, a.outcome, ${INTENT_COLUMNS}
     FROM unnest($1::int8[], $2::int4[]) AS k(no, day)
     JOIN executions e ON e.no = k.no AND e.day = k.day
     JOIN LATERAL (SELECT max(j.deadline_ms) AS latest, min(j.deadline_ms) AS nearest, max(j.priority) AS priority,
                          bool_or(strpos(j.envelope, '${EXPLAIN_MARK}') > 0) AS explain FROM jobs j
                   WHERE j.execution_no = k.no AND j.day BETWEEN $3 AND $4 AND j.state = 'active') w ON w.latest IS NOT NULL
     LEFT JOIN attempts a ON a.no = e.attempt_no AND a.day = e.day ${lines.join}
     WHERE ${lines.where} ORDER BY e.no + 0`,
    [int8Array(keys.map((key) => key.no)), int4Array(keys.map((key) => key.day)), ...waiterDays(context, keys)],
  );
  const taken = new Map(keys.map((key) => [key.no, key]));
  return rows.flatMap((row) => {
    const own = taken.get(Number(row[0]));
    return own === undefined ? [] : [readWaiting(context, row, own)];
  });
}

function readWaiting(context: LedgerContext, row: readonly (string | null)[], taken: TakenRow): LoadedExecution {
  const [
    no,
    day,
    tenantNo,
    state,
    format,
    policy,
    request,
    gzipped,
    history,
    routeIndex,
    attempts,
    maxCost,
    mode,
    ...rest
  ] = row;
  const [latest, nearest, priority, explain, ...others] = rest;
  const [lineColumns, [outcome, ...attempt]] = [others.slice(0, LINE_COLUMN_COUNT), others.slice(LINE_COLUMN_COUNT)];
  const isDoubtful = state === "in_doubt";
  const line = readLineOut(lineColumns);
  return {
    execution: {
      key: { no: Number(no), day: Number(day) },
      tenant: context.tenants.nameOf(Number(tenantNo)),
      state: state as WaitingExecution["state"], // the condition lets no other through
      format: format as RequestFormat, // written from an AdmittedJob
      policy: JSON.parse(policy ?? "{}") as RoutePolicy, // the same
      bodyText: requestOf(request, gzipped),
      history: JSON.parse(history ?? "[]") as AttemptSummary[], // the same
      nextRouteIndex: Number(routeIndex),
      dueAtMs: taken.runAtMs,
      waitedFor: taken.waitsFor,
      doubtful: isDoubtful ? readIntent(attempt) : null,
      ...(isDoubtful && outcome ? { doubtfulOutcome: outcome as AttemptOutcome } : {}), // written by finish
      latestDeadlineMs: Number(latest),
      nearestDeadlineMs: Number(nearest),
      maxCostNanoUsd: maxCost === null || maxCost === undefined ? null : BigInt(maxCost),
      mode: mode as JobMode, // written from an AdmittedJob
      ...(explain === "t" ? { explain: true } : {}),
      ...(line === null ? {} : { line }),
    },
    attempts: Number(attempts),
    priority: Number(priority),
    bytes: taken.bytes,
    level: taken.level,
  };
}
