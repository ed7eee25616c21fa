import type pg from "pg";
import { NO_USAGE } from "../../domain/cost/usage.js";
import { doubtSettled, type DoubtFollowed } from "../../domain/event/doubt-event.js";
import { subjectOf } from "../../domain/event/event.js";
import type { WaitingExecution } from "../../domain/execution/execution.js";
import type { LedgerKey } from "../../domain/ids.js";
import type { CostRow, Outgoing, Renderer } from "../../domain/result/outgoing.js";
import { INTENT_COLUMNS, readIntent } from "./attempt-rows.js";
import { int4Array, int8Array } from "./binary-array.js";
import { run } from "./connection.js";
import { insertCosts } from "./ending.js";
import { payerOf } from "./late-costs.js";
import type { LedgerContext } from "./ledger-context.js";

type Doubt = Pick<WaitingExecution, "key" | "doubtful">;

/** A doubt that ended by policy, or because nobody waits any more. */
export interface Settled {
  readonly execution: Doubt;
  readonly followed: DoubtFollowed;
}

/** The doubts of executions that need no call any more: each may have been billed all the same. */
export async function leftDoubts(client: pg.PoolClient, executions: readonly LedgerKey[]): Promise<Settled[]> {
  const rows = await run(
    client,
    "executions-left-doubts",
    `SELECT e.no, e.day, ${INTENT_COLUMNS} FROM unnest($1::int8[], $2::int4[]) AS u(no, day)
     JOIN executions e ON e.no = u.no AND e.day = u.day
     JOIN attempts a ON a.no = e.attempt_no AND a.day = e.day WHERE a.state = 'in_doubt'`,
    [int8Array(executions.map((key) => key.no)), int4Array(executions.map((key) => key.day))],
  );
  return rows
    .map(([no, day, ...intent]) => ({ key: { no: Number(no), day: Number(day) }, doubtful: readIntent(intent) }))
    .sort((a, b) => a.key.no - b.key.no)
    .map((execution) => ({ execution, followed: "dropped" }));
}

/** The doubtful attempts stay in the books at their maximum, unknown, until reconciled, and an event tells of each. */
export async function settleDoubts(
  client: pg.PoolClient,
  context: LedgerContext,
  render: Renderer,
  settled: readonly Settled[],
  nowMs: number,
): Promise<Outgoing[]> {
  const outgoing: Outgoing[] = [];
  const costs: CostRow[] = [];
  for (const { execution, followed } of settled) {
    const attempt = execution.doubtful;
    if (attempt === null) continue;
    // Serial: doubts are as rare as kills.
    const rows = await run(
      client,
      "attempts-settle",
      "UPDATE attempts SET state = 'settled', settled_ms = $3 WHERE no = $1 AND day = $2 AND state = 'in_doubt' RETURNING 1",
      [attempt.no, execution.key.day, nowMs],
    );
    if (rows.length === 0) continue;
    const paid = await payerOf(client, context, execution.key);
    const rendered = render.lateCost({
      ...paid,
      execution: execution.key,
      attempt,
      billing: "in_doubt",
      nanoUsd: null,
      usage: NO_USAGE,
      priceVersion: null,
      correctsNo: null,
      no: attempt.no,
      atMs: nowMs,
    });
    const event = doubtSettled({ attempt, execution: execution.key, subject: subjectOf(paid), atMs: nowMs }, followed);
    outgoing.push(rendered.outgoing, render.event(event, context.numbers.next(), execution.key.day));
    costs.push(rendered.cost);
  }
  insertCosts(client, context, costs);
  if (outgoing.length > 0) context.reach("doubt.settled");
  return outgoing;
}
