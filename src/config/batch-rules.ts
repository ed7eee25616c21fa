import type { BatchRules, BatchWayRules } from "../domain/batch/batch-rules.js";
import type { BrokenRule } from "./broken-rule.js";
import type { ConfigPath } from "./config-path.js";
import type { AccountBatchConfig, AccountConfig, Config } from "./config.js";
import type { KnownKind } from "./schema.js";

/** Rules for accounts with a section `batch`: the kind has batches, and what is asked for is within what it offers. */
export function batchRules(config: Config, kinds: readonly KnownKind[]): readonly BrokenRule[] {
  return Object.entries(config.providers).flatMap(([name, account]) => {
    if (account.batch === null) return [];
    const path = ["providers", name];
    const rules = kinds.find(({ kind }) => kind === account.kind)?.batch;
    if (rules === undefined) {
      const message = `${account.kind} has no batches here; leave it out. Kinds that have: ${kindsWithBatches(kinds)}`;
      return [{ path: [...path, "batch"], reads: [[...path, "kind"]], message }];
    }
    return [
      ...limitRules(path, account.kind, account.batch, rules),
      ...graceRules(path, account, config.batching.callTimeoutMs),
    ];
  });
}

function kindsWithBatches(kinds: readonly KnownKind[]): string {
  return kinds
    .filter(({ batch }) => batch !== undefined)
    .map(({ kind }) => kind)
    .join(", ");
}

function limitRules(
  account: ConfigPath,
  kind: string,
  batch: AccountBatchConfig,
  rules: BatchRules,
): readonly BrokenRule[] {
  const path = [...account, "batch"];
  const reads = [[...account, "kind"]];
  const way = batch.way === null ? rules.ways[0] : rules.ways.find((offered) => offered.way === batch.way);
  if (way === undefined) {
    const offered = rules.ways.map((one) => one.way).join(", ");
    return [{ path: [...path, "way"], reads, message: `${kind} takes batches only as ${offered}` }];
  }
  return offeredLimits(way, rules).flatMap(([key, most]) => {
    const asked = batch[key];
    if (asked === null || most === null || asked <= most) return [];
    const message = `${kind} takes at most ${String(most)}, got ${String(asked)}`;
    return [{ path: [...path, key], reads: [...reads, [...path, "way"]], message }];
  });
}

function offeredLimits(
  way: BatchWayRules,
  rules: BatchRules,
): readonly (readonly ["linesMax" | "bytesMax" | "openBatchesMax", number | null])[] {
  return [
    ["linesMax", way.linesMax],
    ["bytesMax", way.bytesMax],
    ["openBatchesMax", rules.openBatchesMax],
  ];
}

/** While a create may still be on its way its absence proves nothing. */
function graceRules(account: ConfigPath, { inDoubt }: AccountConfig, callTimeoutMs: number): readonly BrokenRule[] {
  if (inDoubt.createGraceMs >= callTimeoutMs) return [];
  const path = [...account, "inDoubt", "createGraceMs"];
  const message = `expected at least batching.callTimeoutMs (${String(callTimeoutMs)}), got ${String(inDoubt.createGraceMs)}; a create that is still on its way would be made again and paid twice`;
  return [{ path, reads: [["batching", "callTimeoutMs"]], message }];
}
