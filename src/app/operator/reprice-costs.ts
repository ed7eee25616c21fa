import { bookedCalls } from "../../adapters/postgres/operator/billed-rows.js";
import type { CostPeriod } from "../../adapters/postgres/operator/cost-rows.js";
import { withReport } from "../../adapters/postgres/operator/report-connection.js";
import type { Config } from "../../config/config.js";
import { addRepriced, Repricing, type RepricedSums } from "../../domain/cost/reprice.js";
import { modelFacts, type ModelFacts } from "../../domain/route/catalog.js";
import { buildCatalog, listCatalog } from "../build-domain.js";
import { refuseOldLedger } from "./report-costs.js";

export interface RepricedLine {
  /** What was called, by account. */
  readonly account: string;
  readonly model: string;
  readonly mode: "direct" | "batch";
  readonly sums: RepricedSums;
}

export interface RepricedCosts {
  readonly priceVersion: string;
  readonly lines: readonly RepricedLine[];
  readonly total: RepricedSums;
}

/** Models come from callers, so there is a bound. */
const LINES_MAX = 100_000;

/**
 * What the calls of the past would have cost at another model's price, by what was called.
 * @param as `account/model`, else `provider/model` at its list price.
 * @returns null when no price is known of it.
 */
export async function repriceCosts(config: Config, as: string, period: CostPeriod): Promise<RepricedCosts | null> {
  const { price, batchPrice } = pricesOf(config, as) ?? { price: null, batchPrice: null };
  if (price === null) return null;
  await refuseOldLedger(config.postgres.url);
  const repricing = new Repricing(price, batchPrice);
  const lines = new Map<string, RepricedLine>();
  await withReport(config.postgres.url, async (client) => {
    for await (const call of bookedCalls(client, period)) {
      const { account, model, mode } = call;
      const key = JSON.stringify([account, model, mode]);
      const line = lines.get(key) ?? { account, model, mode, sums: repricing.none() };
      if (lines.size >= LINES_MAX && !lines.has(key))
        throw new Error(`more than ${String(LINES_MAX)} models were called; ask for a shorter time`);
      lines.set(key, { ...line, sums: repricing.plus(line.sums, call) });
    }
  });
  const sorted = [...lines.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, line]) => line);
  return {
    priceVersion: price.version,
    lines: sorted,
    total: sorted.reduce((sum, { sums }) => addRepriced(sum, sums), repricing.none()),
  };
}

function pricesOf(config: Config, as: string): ModelFacts | null {
  const slash = as.indexOf("/");
  const [name, model] = [as.slice(0, Math.max(0, slash)), as.slice(slash + 1)];
  for (const { accounts, prices } of [buildCatalog(config), listCatalog()]) {
    const account = accounts.find((one) => one.name === name);
    const facts = account === undefined ? null : modelFacts(account, model, prices);
    if (facts !== null && facts.price !== null) return facts;
  }
  return null;
}
