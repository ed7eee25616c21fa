import type pg from "pg";
import { verdictBesideLine, type AttemptSummary } from "../../domain/execution/execution.js";
import { int8Array, textArray } from "./binary-array.js";
import { run } from "./connection.js";
import { historyOf, type NewCall } from "./new-call.js";
import type { RecordedOutcomes } from "./record-outcomes.js";
import { lockExecutions } from "./waiters.js";

/**
 * Rescues, and lines that failed: two attempts of one execution may end at the same time. Their executions are locked, then what each history
 * says is taken over, and a rescue without an answer leaves its jobs to the line if that is still out. Nothing is asked where there is neither.
 */
export async function besideLines(
  client: pg.PoolClient,
  nowMs: number,
  day: number,
  recorded: RecordedOutcomes,
): Promise<RecordedOutcomes> {
  const pairs = recorded.news.filter(isBesideLine);
  if (pairs.length === 0) return recorded;
  await lockExecutions(
    client,
    pairs.map(({ execution }) => execution),
  );
  const rows = await run(
    client,
    "executions-beside-lines",
    `SELECT u.attempt, e.history, l.no IS NOT NULL FROM unnest($1::int8[], $2::int8[], $3::int8[]) AS u(attempt, execution, line)
     JOIN executions e ON e.no = u.execution AND e.day = $4
     LEFT JOIN attempts l ON l.no = u.line AND l.day = $4 AND l.state = 'batched'`,
    [
      int8Array(pairs.map(({ attempt }) => attempt.no)),
      int8Array(pairs.map(({ execution }) => execution.no)),
      int8Array(pairs.map(({ attempt }) => attempt.supersedes ?? null)),
      day,
    ],
  );
  const found = new Map(
    rows.map(([no, history, lineIsOut]) => [
      Number(no),
      { earlier: JSON.parse(history ?? "[]") as AttemptSummary[], lineIsOut: lineIsOut === "t" }, // written by finish and claim
    ]),
  );
  const ended = new Set(recorded.succeeded.map(({ attempt }) => attempt.no));
  const news = recorded.news.map((call) => {
    const its = found.get(call.attempt.no);
    if (its === undefined) return call;
    const { routeIndex } = call.attempt;
    const verdict = its.lineIsOut ? verdictBesideLine(call.verdict, routeIndex, nowMs) : call.verdict;
    return { ...call, earlier: its.earlier, verdict };
  });
  return { news, succeeded: news.filter(({ attempt }) => ended.has(attempt.no)) };
}

function isBesideLine(call: NewCall): boolean {
  return call.attempt.supersedes !== undefined || isFailedLine(call);
}

function isFailedLine({ attempt, verdict }: NewCall): boolean {
  return attempt.batchNo !== undefined && verdict.kind !== "succeed";
}

/** Lines that failed while their executions were a rescue's: nothing follows from it now, and it is not forgotten. */
export async function rememberLines(
  client: pg.PoolClient,
  day: number,
  news: readonly NewCall[],
  moved: ReadonlySet<NewCall>,
): Promise<void> {
  const left = news.filter((call) => isFailedLine(call) && !moved.has(call));
  if (left.length === 0) return;
  await run(
    client,
    "executions-remember-lines",
    `UPDATE executions e SET history = u.history FROM unnest($1::int8[], $2::int8[], $3::text[]) AS u(no, attempt, history)
     WHERE e.no = u.no AND e.day = $4 AND e.state IN ('ready', 'running', 'in_doubt') AND e.attempt_no <> u.attempt`,
    [
      int8Array(left.map(({ execution }) => execution.no)),
      int8Array(left.map(({ attempt }) => attempt.no)),
      textArray(left.map((call) => JSON.stringify(historyOf(call)))),
      day,
    ],
  );
}
