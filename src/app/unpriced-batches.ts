import type { Config } from "../config/config.js";
import { modelFacts } from "../domain/route/catalog.js";
import { buildCatalog } from "./build-domain.js";

/**
 * Candidates at accounts with batches that no batch price is known of: their jobs are never put into one, and nobody would notice. A
 * sentence each, in the order of the file. @throws PriceTableError when the price file can't be used.
 */
export function unpricedBatches(config: Config): readonly string[] {
  const batching = Object.values(config.providers).some(({ batch }) => batch !== null);
  if (!batching) return [];
  const { accounts, aliases, prices } = buildCatalog(config);
  const found = aliases.flatMap(({ candidates }) =>
    candidates.flatMap(({ account: name, model }) => {
      const account = accounts.find((one) => one.name === name);
      if (account === undefined || config.providers[name]?.batch === null) return [];
      const { price, batchPrice } = modelFacts(account, model, prices);
      return price !== null && batchPrice === null
        ? [`no batch price is known of ${model} at ${name}, so its jobs are never put into a batch`]
        : [];
    }),
  );
  return [...new Set(found)];
}
