import type { BatchRules, BatchWayRules } from "../domain/batch/batch-rules.js";
import { groupRules } from "../domain/batch/group-rules.js";
import type { BrokenRule } from "./broken-rule.js";
import type { ConfigPath } from "./config-path.js";
import type { AccountBatchConfig, AccountConfig, Config } from "./config.js";
import type { KnownKind } from "./schema.js";

/** Rules for accounts with a section `batch`: what is asked for is within what the kind offers, or what a group of calls can be. */
export function batchRules(config: Config, kinds: readonly KnownKind[]): readonly BrokenRule[] {
  return Object.entries(config.providers).flatMap(([name, account]) => {
    if (account.batch === null) return [];
    const path = ["providers", name];
    const rules = kinds.find(({ kind }) => kind === account.kind)?.batch;
    if (rules === undefined) return callRules(path, account, account.batch);
    return [
      ...concurrencyRules(path, account.kind, account.batch, kinds),
      ...limitRules(path, account.kind, account.batch, rules),
      ...graceRules(path, account, config.batching.callTimeoutMs),
    ];
  });
}

/** Where lines are calls: what only a batch API could do is not asked for, and no more calls than the account may have. */
function callRules(
  account: ConfigPath,
  { kind, limits }: AccountConfig,
  batch: AccountBatchConfig,
): readonly BrokenRule[] {
  const path = [...account, "batch"];
  const reads = [[...account, "kind"]];
  const broken: BrokenRule[] = [];
  if (batch.way !== null) {
    const message = `${kind} has no batch API here, and the lines of its batches are calls; leave it out`;
    broken.push({ path: [...path, "way"], reads, message });
  }
  if (batch.concurrency !== null && batch.concurrency > limits.concurrency) {
    const message = `expected at most limits.concurrency (${String(limits.concurrency)}), got ${String(batch.concurrency)}; the lines' calls are part of the account's`;
    broken.push({ path: [...path, "concurrency"], reads: [[...account, "limits", "concurrency"]], message });
  }
  return [...broken, ...tooMany(path, reads, batch, `a batch of ${kind}`, groupRules([]))];
}

function concurrencyRules(
  account: ConfigPath,
  kind: string,
  { concurrency }: AccountBatchConfig,
  kinds: readonly KnownKind[],
): readonly BrokenRule[] {
  if (concurrency === null) return [];
  const others = kinds.filter(({ batch }) => batch === undefined).map((one) => one.kind);
  const message = `${kind} has a batch API, and runs the lines as it likes; leave it out. It is for kinds that have none: ${others.join(", ")}`;
  return [{ path: [...account, "batch", "concurrency"], reads: [[...account, "kind"]], message }];
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
  return tooMany(path, [...reads, [...path, "way"]], batch, kind, { ...rules, ways: [way] });
}

/** @param rules with the way that is asked for alone. */
function tooMany(
  path: ConfigPath,
  reads: readonly ConfigPath[],
  batch: AccountBatchConfig,
  who: string,
  rules: BatchRules,
): readonly BrokenRule[] {
  return rules.ways.flatMap((way) =>
    offeredLimits(way, rules).flatMap(([key, most]) => {
      const asked = batch[key];
      if (asked === null || most === null || asked <= most) return [];
      const message = `${who} takes at most ${String(most)}, got ${String(asked)}`;
      return [{ path: [...path, key], reads, message }];
    }),
  );
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
