import type { Config } from "../config/config.js";

/** Accounts with a commitment that no choice between routes goes by, which nobody would notice. A sentence each, in the order of the file. */
export function idleCommitments({ providers, models }: Pick<Config, "providers" | "models">): readonly string[] {
  const scored = Object.values(models).filter(({ order, candidates }) => order === "score" && candidates.length > 1);
  const compared = new Set(scored.flatMap(({ candidates }) => candidates.map(({ provider }) => provider)));
  return Object.entries(providers).flatMap(([name, { committed }]) =>
    committed === null || compared.has(name)
      ? []
      : [
          `providers.${name}.committed is counted, and decides nothing: no model with order: score has ${name} among others`,
        ],
  );
}
