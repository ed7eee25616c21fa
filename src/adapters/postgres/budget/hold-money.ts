import type pg from "pg";
import { payerOf, type Payer } from "../../../domain/budget/budget-levels.js";
import type { EpochMs } from "../../../domain/ids.js";
import type { LedgerContext } from "../ledger-context.js";
import type { Placing } from "../placing.js";
import { NOTHING_RESERVED, type PostgresReserved } from "./postgres-budgets.js";

/**
 * The money for what a group begins. A job whose budget has no room for it now is queued, and the claim that takes it up says whether it
 * waits or has failed.
 * @param cancels whether the group cancels jobs, which locks rows behind the budgets: it starts nothing that needs money then.
 * @returns what the attempts hold that begin.
 */
export async function holdMoney(
  client: pg.PoolClient,
  { budgets }: LedgerContext,
  fresh: readonly Placing[],
  { cancels, nowMs }: { readonly cancels: boolean; readonly nowMs: EpochMs },
): Promise<PostgresReserved> {
  if (!budgets.any) return NOTHING_RESERVED;
  const pooled = fresh.flatMap((placing) => {
    const line = placing.fate === "pooled" ? placing.item.pooled?.line : undefined;
    return line === undefined || !budgets.guards({ tenant: placing.job.tenant, account: line.account })
      ? []
      : [{ placing, line }];
  });
  if (pooled.length > 0) {
    const payers = pooled.map(({ placing }) => payerOfJob(placing));
    const ask = await budgets.look(client, payers, nowMs);
    for (const { placing, line } of pooled)
      if (ask({ ...payerOfJob(placing), account: line.account }, line.maxNanoUsd).kind !== "fits")
        placing.fate = "queued";
  }
  const starting = fresh.flatMap((placing) => {
    const intent = placing.fate === "started" ? placing.item.intent : null;
    return intent === null || !budgets.guards({ tenant: placing.job.tenant, account: intent.account })
      ? []
      : [{ placing, intent }];
  });
  if (starting.length === 0) return NOTHING_RESERVED;
  const wishes = starting.map(({ placing, intent: { no, account, maxNanoUsd } }) => ({
    spender: { ...payerOfJob(placing), account },
    attemptNo: no,
    maxNanoUsd,
  }));
  const reserved = cancels ? null : await budgets.reserve(client, wishes);
  for (const { placing, intent } of starting)
    if (reserved === null || reserved.refused.has(intent.no)) placing.fate = "queued";
  return reserved ?? NOTHING_RESERVED;
}

/** The job that opens an execution pays for it. */
function payerOfJob({ job }: Placing): Payer {
  return payerOf(job.tenant, job.labels);
}
