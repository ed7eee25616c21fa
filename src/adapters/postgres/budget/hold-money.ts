import type pg from "pg";
import type { EpochMs } from "../../../domain/ids.js";
import type { LedgerContext } from "../ledger-context.js";
import type { Placing } from "../placing.js";

/**
 * The money for what a group begins. A job whose budget has no room for it now is queued, and the claim that takes it up says whether it
 * waits or has failed.
 * @param cancels whether the group cancels jobs, which locks rows behind the budgets: it starts nothing that needs money then.
 */
export async function holdMoney(
  client: pg.PoolClient,
  { budgets }: LedgerContext,
  fresh: readonly Placing[],
  { cancels, nowMs }: { readonly cancels: boolean; readonly nowMs: EpochMs },
): Promise<void> {
  const guarded = fresh.filter(({ job }) => budgets.guards(job.tenant));
  if (guarded.length === 0) return;
  const pooled = guarded.flatMap((placing) => {
    const line = placing.fate === "pooled" ? placing.item.pooled?.line : undefined;
    return line === undefined ? [] : [{ placing, line }];
  });
  if (pooled.length > 0) {
    const tenants = pooled.map(({ placing }) => placing.job.tenant);
    const ask = await budgets.look(client, tenants, nowMs);
    for (const { placing, line } of pooled)
      if (ask(placing.job.tenant, line.maxNanoUsd).kind !== "fits") placing.fate = "queued";
  }
  const starting = guarded.flatMap((placing) => {
    const intent = placing.fate === "started" ? placing.item.intent : null;
    return intent === null ? [] : [{ placing, intent }];
  });
  const wishes = starting.map(({ placing, intent: { no, maxNanoUsd } }) => ({
    tenant: placing.job.tenant,
    attemptNo: no,
    maxNanoUsd,
  }));
  const refused = cancels ? new Set(wishes.map(({ attemptNo }) => attemptNo)) : await budgets.reserve(client, wishes);
  for (const { placing, intent } of starting) if (refused.has(intent.no)) placing.fate = "queued";
}
