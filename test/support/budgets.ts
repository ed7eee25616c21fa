import type { Budget } from "../../src/domain/budget/budget.js";

/** A hard budget of a tenant, of all time unless said otherwise. */
export function tenantBudget(
  tenant: string,
  limitNanoUsd: bigint,
  { department, application, ...rest }: Labels & Partial<Omit<Budget, "level" | "limitNanoUsd">> = {},
): Budget {
  return {
    level: { of: "tenant", tenant, department: department ?? null, application: application ?? null },
    limitNanoUsd,
    window: "total",
    timeZone: "UTC",
    kind: "hard",
    ...rest,
  };
}

interface Labels {
  readonly department?: string;
  readonly application?: string;
}

/** What an account may spend in a day. */
export function accountBudget(account: string, limitNanoUsd: bigint, stopsAtNanoUsd = limitNanoUsd): Budget {
  return {
    level: { of: "account", account },
    limitNanoUsd,
    stopsAtNanoUsd,
    window: "day",
    timeZone: "UTC",
    kind: "hard",
  };
}

/** What an account has paid for a month. */
export function commitmentOf(account: string, limitNanoUsd: bigint): Budget {
  return {
    level: { of: "account", account },
    limitNanoUsd,
    window: "month",
    timeZone: "UTC",
    kind: "soft",
    commitment: true,
  };
}
