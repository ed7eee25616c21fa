import type { Usage } from "../../../domain/cost/usage.js";
import { objectIn, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import { TokenReader } from "../token-reader.js";

/** Tiers with prices of their own that the price table does not list: their usage can't be priced. */
const UNPRICED_TIERS: ReadonlySet<string> = new Set(["flex", "priority"]);

/**
 * `usageMetadata` in our terms. `promptTokenCount` is the whole prompt, cached tokens included, but not what its own tools read
 * (`toolUsePromptTokenCount`), which is billed as input too; `candidatesTokenCount` leaves thoughts out. Counts of zero are left out of
 * the JSON, so beside a total an absent count is 0; a prompt is never empty, so that an absent one is unknown. Suspect: no
 * count, more cached than sent, a total that is not the sum of the four. Source: UsageMetadata of the generateContent reference, 2026-08.
 */
export function fromGenerateUsage(body: JsonObject): { readonly usage: Usage; readonly suspect: boolean } {
  const reported = objectIn(body, "usageMetadata");
  const tokens = new TokenReader();
  const total = tokens.read(reported["totalTokenCount"]);
  const count = (name: string): number | null =>
    tokens.read(total !== null && reported[name] === undefined ? 0 : reported[name]);
  const prompt = tokens.read(reported["promptTokenCount"]);
  const byTools = count("toolUsePromptTokenCount");
  const candidates = count("candidatesTokenCount");
  const thoughts = count("thoughtsTokenCount");
  const usage: Usage = {
    inputTokens: prompt === null ? null : prompt + (byTools ?? 0),
    cachedInputTokens: count("cachedContentTokenCount"),
    cacheWriteTokens: null,
    cacheWrite1hTokens: null,
    outputTokens: candidates === null ? null : candidates + (thoughts ?? 0),
    reasoningTokens: thoughts,
  };
  const { inputTokens, outputTokens } = usage;
  tokens.expectWithin(usage.cachedInputTokens, prompt);
  tokens.expectEqual(total, inputTokens === null || outputTokens === null ? null : inputTokens + outputTokens);
  const tier = textIn(reported, "serviceTier")?.toLowerCase() ?? "";
  return { usage, suspect: tokens.suspect || UNPRICED_TIERS.has(tier) };
}
