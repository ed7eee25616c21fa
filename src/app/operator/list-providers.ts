import { breakers } from "../../adapters/postgres/health/breaker-rows.js";
import type { StoredBreaker } from "../../ports/health-store.js";
import type { Operator } from "./open-operator.js";

/** An account of the config with what routers have found of it. */
export interface ProviderLine {
  readonly account: string;
  readonly kind: string;
  /** `closed`: calls go there; `limited`: to some of its models none does; `open`: none goes to any. */
  readonly state: "closed" | "limited" | "open";
  /** Of the account, else of its models; those that are not closed. */
  readonly breakers: readonly StoredBreaker[];
}

/** The accounts of the config, in its order, as the ledger knows them. */
export async function listProviders({ config, pools }: Operator): Promise<readonly ProviderLine[]> {
  return providerLines(config.providers, await breakers(pools.durable));
}

export function providerLines(
  accounts: Readonly<Record<string, { readonly kind: string }>>,
  known: readonly StoredBreaker[],
): readonly ProviderLine[] {
  const notClosed = known.filter(({ state }) => state !== "closed");
  return Object.entries(accounts).map(([account, { kind }]) => {
    const its = notClosed.filter((one) => one.account === account);
    const whole = its.filter(({ model }) => model === null);
    const state = whole.length > 0 ? "open" : its.length > 0 ? "limited" : "closed";
    return { account, kind, state, breakers: whole.length > 0 ? whole : its };
  });
}
