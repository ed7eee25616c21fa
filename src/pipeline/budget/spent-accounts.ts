import type { BudgetPlace, BudgetStanding } from "../../domain/budget/budget.js";
import type { EpochMs } from "../../domain/ids.js";
import type { RouteConditions } from "../../domain/route/route-condition.js";

/**
 * Accounts that have spent their day, as far as this router has seen: whoever reads a budget in the ledger tells it here. It may be late, never
 * wrong for long; whether a call fits is decided where its money is reserved.
 */
export class SpentAccounts implements Pick<RouteConditions, "spent"> {
  readonly #spent = new Map<string, { readonly untilMs: EpochMs | null; readonly because: string }>();

  readonly seen = ({ budget, untilMs }: BudgetPlace, standing: BudgetStanding): void => {
    const { level, limitNanoUsd, stopsAtNanoUsd = limitNanoUsd } = budget;
    if (level.of !== "account") return;
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
    if (this.#spent.size === 0) return null;
    const known = this.#spent.get(account);
    return known === undefined || (known.untilMs !== null && known.untilMs <= nowMs) ? null : known.because;
  }
}
