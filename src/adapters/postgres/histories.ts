import type pg from "pg";
import type { AttemptSummary } from "../../domain/execution/execution.js";
import type { LedgerKey } from "../../domain/ids.js";
import type { EndingJob } from "../../domain/result/outgoing.js";
import { int4Array, int8Array } from "./binary-array.js";
import { run } from "./connection.js";

/** What was tried by now for a job. */
export type HistoryOf = (job: EndingJob) => readonly AttemptSummary[];

/**
 * What was tried by now for jobs that end without their executions, as these tell: a call that is out or in doubt is not among it. Takes no
 * locks: whoever wants no call to be added meanwhile holds the executions.
 */
export async function historiesOf(client: pg.PoolClient, jobs: readonly EndingJob[]): Promise<HistoryOf> {
  const executions = new Map(jobs.flatMap(({ execution }) => (execution === null ? [] : [[execution.no, execution]])));
  if (executions.size === 0) return () => [];
  const keys: readonly LedgerKey[] = [...executions.values()];
  const rows = await run(
    client,
    "executions-histories",
    `SELECT e.no, e.history FROM unnest($1::int8[], $2::int4[]) AS k(no, day) JOIN executions e ON e.no = k.no AND e.day = k.day`,
    [int8Array(keys.map(({ no }) => no)), int4Array(keys.map(({ day }) => day))],
  );
  const histories = new Map(
    rows.map(([no, history]) => [Number(no), JSON.parse(history ?? "[]") as AttemptSummary[]]), // written by finish
  );
  return ({ execution }) => histories.get(execution?.no ?? -1) ?? [];
}
