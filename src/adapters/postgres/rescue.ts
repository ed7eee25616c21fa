import type pg from "pg";
import { rescuesBegan, type Rescue } from "../../domain/event/rescue-event.js";
import type { LineOut } from "../../domain/execution/execution.js";
import type { LedgerKey } from "../../domain/ids.js";
import type { Outgoing, Renderer } from "../../domain/result/outgoing.js";
import type { ProviderKind } from "../../domain/route/route.js";
import type { RescueLook, StartedExecution } from "../../ports/ledger.js";
import { lowerDeadlines } from "./batch/line-batches.js";
import { int4Array, int8Array, textArray } from "./binary-array.js";
import { run, send } from "./connection.js";
import type { LedgerContext } from "./ledger-context.js";

/**
 * Rescues: calls beside lines that are still out. While such a call is out its execution is the call's, as if there were no line; the line
 * stays `batched`, and its answer ends the execution like any late one. An end of the call without an answer puts the execution into its row,
 * and the claim that takes that gives it back to its line, if that is still out. Whoever finds a line's end or a rescue's locks the execution
 * before it looks whether the other one is out: the second to come sees that the first has ended.
 */

/** There may be one of an execution; the index that says so finds it. */
const RESCUED =
  "EXISTS (SELECT 1 FROM attempts r WHERE r.execution_no = e.no AND r.day = e.day AND r.supersedes IS NOT NULL)";

/** The lines of waiting executions `e`, whose newest attempt is `a`, as `l`, and which executions are waiting. */
export const LINES_OUT = {
  /** Those with a row: their rescue has ended or is in doubt, and the line may be out all the same. */
  rows: {
    join: "LEFT JOIN attempts l ON l.no = a.supersedes AND l.day = e.day AND l.state = 'batched'",
    expected: "NULL::int8",
    where: "e.state IN ('ready', 'in_doubt')",
  },
  /** Those that are lines. */
  lines: {
    join: "JOIN attempts l ON l.no = e.attempt_no AND l.day = e.day AND l.state = 'batched'",
    expected: "(SELECT b.expected_ms FROM batches b WHERE b.no = l.batch_no)",
    where: `e.state = 'running' AND NOT ${RESCUED}`,
  },
} as const;

/** The columns that `readLineOut` reads, but for when the batch is expected. */
export const LINE_COLUMNS = "l.no, l.number, l.batch_no, l.account, l.provider";

export function readLineOut(row: readonly (string | null | undefined)[]): LineOut | null {
  const [no, number, batchNo, account, provider, expected] = row;
  if (no === null || no === undefined) return null;
  return {
    attemptNo: Number(no),
    number: Number(number),
    batchNo: Number(batchNo),
    account: account ?? "",
    provider: provider as ProviderKind, // written from a Route
    expectedAtMs: expected === null || expected === undefined ? null : Number(expected),
  };
}

/** Batches that their providers have, as far as is known. */
const OUT = "('submitted', 'cancelling', 'ended', 'ingesting')";

/** Locks executions whose lines may need a rescue, in the order of the lines, and passes by those that somebody else holds. */
export async function takeLines(
  client: pg.PoolClient,
  context: LedgerContext,
  { nowMs, limit, models, deadlineMs, after }: RescueLook,
): Promise<readonly LedgerKey[]> {
  const rows = await run(
    client,
    "lines-to-rescue",
    `SELECT e.no, e.day FROM batches b JOIN attempts a ON a.batch_no = b.no AND a.no > $1 AND a.state = 'batched'
     JOIN executions e ON e.no = a.execution_no AND e.day = a.day AND e.state = 'running' AND e.attempt_no = a.no
     WHERE b.state IN ${OUT} AND b.nearest_deadline_ms <= $2 AND e.mode <> 'batch' AND (e.policy::json ->> 'model') = ANY ($3::text[])
       AND NOT ${RESCUED} AND EXISTS (
         SELECT 1 FROM jobs j WHERE j.execution_no = e.no AND j.day BETWEEN e.day AND $4 AND j.state = 'active'
           AND j.deadline_ms > $5 AND j.deadline_ms <= $2)
     ORDER BY a.no LIMIT $6 FOR UPDATE OF e SKIP LOCKED`,
    [after, deadlineMs, textArray(models), context.today() + 1, nowMs, limit],
  );
  return rows.map(([no, day]) => ({ no: Number(no), day: Number(day) })).sort((a, b) => a.no - b.no);
}

/** An execution in its row, whose line is out. */
export interface LeftToLine {
  readonly key: LedgerKey;
  readonly line: LineOut;
  /** Of the jobs that wait by now: some may have joined while the call was out. */
  readonly nearestDeadlineMs: number;
}

/** They are their lines' again. A call that was never sent was no rescue. */
export function leaveToLines(client: pg.PoolClient, left: readonly LeftToLine[]): void {
  if (left.length === 0) return;
  send(
    client,
    "executions-to-lines",
    `WITH given AS (
       UPDATE executions e SET state = 'running', session_no = NULL, attempt_no = u.line
       FROM unnest($1::int8[], $2::int4[], $3::int8[]) AS u(no, day, line)
       WHERE e.no = u.no AND e.day = u.day AND e.state = 'ready' RETURNING OLD.attempt_no AS call, e.day)
     UPDATE attempts a SET supersedes = NULL FROM given g WHERE a.no = g.call AND a.day = g.day AND a.state = 'not_sent'`,
    [
      int8Array(left.map(({ key }) => key.no)),
      int4Array(left.map(({ key }) => key.day)),
      int8Array(left.map(({ line }) => line.attemptNo)),
    ],
  );
  lowerDeadlines(
    client,
    left.map(({ line, nearestDeadlineMs }) => ({ batchNo: line.batchNo, deadlineMs: nearestDeadlineMs })),
  );
}

/** What somebody must notice of the calls that were just started. */
export function rescueEvents(
  context: LedgerContext,
  render: Renderer,
  started: readonly StartedExecution[],
  nowMs: number,
): readonly Outgoing[] {
  const rescues = started.flatMap(({ execution, intent }): Rescue[] =>
    execution.line === undefined ? [] : [{ line: execution.line, intent }],
  );
  return rescuesBegan(rescues, nowMs).map((event) => render.event(event, context.numbers.next(), context.today()));
}
