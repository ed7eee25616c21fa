import { commitmentLeft, type BudgetPlace, type BudgetStanding } from "../../domain/budget/budget.js";
import type { EpochMs } from "../../domain/ids.js";
import type { RouteConditions } from "../../domain/route/route-condition.js";

/**
 * Accounts that have spent their day, and what others have left of their commitment, as far as this router has seen: whoever reads a budget in
 * the ledger tells it here. It may be late, never wrong for long; whether a call fits is decided where its money is reserved.
 */
export class SpentAccounts implements Pick<RouteConditions, "spent" | "committedLeft"> {
  readonly #spent = new Map<string, Until & { readonly because: string }>();
  readonly #committed = new Map<string, Until & { readonly leftNanoUsd: bigint }>();

  readonly seen = ({ budget, untilMs }: BudgetPlace, standing: BudgetStanding): void => {
    const { level, limitNanoUsd, stopsAtNanoUsd = limitNanoUsd } = budget;
    if (level.of !== "account") return;
    if (budget.commitment === true) {
      this.#committed.set(level.account, { untilMs, leftNanoUsd: commitmentLeft(budget, standing) });
      return;
    }
    const used = standing.settledNanoUsd + standing.reservedNanoUsd;
    if (used < stopsAtNanoUsd) {
      this.#spent.delete(level.account);
      return;
    }
    const percent = limitNanoUsd === 0n ? 100n : (used * 100n) / limitNanoUsd;
    const because = `it has spent or reserved ${String(percent)} % of what it may spend a day`;
    this.#spent.set(level.account, { untilMs, because });
  };

  spent(account: string, nowMs: EpochMs): string | null {
    return valid(this.#spent, account, nowMs)?.because ?? null;
  }

  /** Of a month that nobody has looked at yet nothing is known. */
  committedLeft(account: string, nowMs: EpochMs): bigint | null {
    return valid(this.#committed, account, nowMs)?.leftNanoUsd ?? null;
  }
}

/** When the window is over; null: never. */
interface Until {
  readonly untilMs: EpochMs | null;
}

function valid<Known extends Until>(
  known: ReadonlyMap<string, Known>,
  account: string,
  nowMs: EpochMs,
): Known | undefined {
  if (known.size === 0) return undefined;
  const own = known.get(account);
  return own !== undefined && (own.untilMs === null || nowMs < own.untilMs) ? own : undefined;
}
