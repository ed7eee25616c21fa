import type pg from "pg";
import type { LedgerKey } from "../../../domain/ids.js";
import { int4Array, int8Array } from "../binary-array.js";
import { run, send } from "../connection.js";

/** The batch that an execution is a line of. */
export interface LineBatch {
  readonly no: number;
  /** When it is expected to have ended. One that the provider does not have yet counts from its beginning: none could end sooner. */
  readonly untilMs: number;
  /** The nearest deadline of its lines' jobs; null: none is left. */
  readonly nearestDeadlineMs: number | null;
}

/**
 * The batches of executions that are lines, by the executions' numbers. `FOR KEY SHARE`: whoever works out a batch's nearest deadline
 * anew waits for the jobs that join now; a batch goes on in its life all the same.
 */
export async function batchesOfLines(
  client: pg.PoolClient,
  executions: readonly { readonly key: LedgerKey; readonly attemptNo: number | null }[],
): Promise<Map<number, LineBatch>> {
  if (executions.length === 0) return new Map();
  const rows = await run(
    client,
    "batches-of-lines",
    `SELECT k.no, b.no, coalesce(b.ended_ms, b.expected_ms, b.created_ms), b.nearest_deadline_ms
     FROM unnest($1::int8[], $2::int4[], $3::int8[]) AS k(no, day, attempt)
     JOIN attempts a ON a.no = k.attempt AND a.day = k.day JOIN batches b ON b.no = a.batch_no ORDER BY b.no + 0 FOR KEY SHARE OF b`,
    [
      int8Array(executions.map(({ key }) => key.no)),
      int4Array(executions.map(({ key }) => key.day)),
      int8Array(executions.map(({ attemptNo }) => attemptNo)),
    ],
  );
  return new Map(
    rows.map(([execution, no, untilMs, nearest]) => [
      Number(execution),
      {
        no: Number(no),
        untilMs: Number(untilMs),
        nearestDeadlineMs: nearest === null || nearest === undefined ? null : Number(nearest),
      },
    ]),
  );
}

/** Jobs with these deadlines wait for lines of these batches by now. */
export function lowerDeadlines(
  client: pg.PoolClient,
  joined: readonly { readonly batchNo: number; readonly deadlineMs: number }[],
): void {
  if (joined.length === 0) return;
  const nearest = new Map<number, number>();
  for (const { batchNo, deadlineMs } of joined)
    nearest.set(batchNo, Math.min(nearest.get(batchNo) ?? deadlineMs, deadlineMs));
  const ordered = [...nearest].sort(([a], [b]) => a - b);
  send(
    client,
    "batches-lower-deadlines",
    `UPDATE batches b SET nearest_deadline_ms = least(b.nearest_deadline_ms, u.deadline)
     FROM unnest($1::int8[], $2::int8[]) AS u(no, deadline) WHERE b.no = u.no`,
    [int8Array(ordered.map(([no]) => no)), int8Array(ordered.map(([, deadlineMs]) => deadlineMs))],
  );
}
