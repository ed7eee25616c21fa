import { NO_USAGE, type Usage } from "../../../domain/cost/usage.js";
import { objectIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import { TokenReader } from "../token-reader.js";

/** Tiers with prices of their own that the price table does not list: their usage can't be priced. */
const UNPRICED_TIERS: ReadonlySet<unknown> = new Set(["flex", "priority"]);

/**
 * `usage` of a chat completion in our terms: `prompt_tokens` already is the whole prompt, `completion_tokens` includes reasoning. The details
 * objects may be absent (then those parts are unknown). Suspect: no count, a part above its whole, a total that is not the sum.
 * Source: OpenAI API specification, CompletionUsage, 2026-08-21.
 */
export function fromChatUsage(body: JsonObject): { readonly usage: Usage; readonly suspect: boolean } {
  const reported = objectIn(body, "usage");
  const prompt = objectIn(reported, "prompt_tokens_details");
  const completion = objectIn(reported, "completion_tokens_details");
  const tokens = new TokenReader();
  const usage: Usage = {
    inputTokens: tokens.read(reported["prompt_tokens"]),
    cachedInputTokens: tokens.read(prompt["cached_tokens"]),
    cacheWriteTokens: tokens.read(prompt["cache_write_tokens"]),
    cacheWrite1hTokens: null,
    outputTokens: tokens.read(reported["completion_tokens"]),
    reasoningTokens: tokens.read(completion["reasoning_tokens"]),
  };
  const total = tokens.read(reported["total_tokens"]);
  const { inputTokens, outputTokens } = usage;
  tokens.expectWithin((usage.cachedInputTokens ?? 0) + (usage.cacheWriteTokens ?? 0), inputTokens);
  tokens.expectWithin(usage.reasoningTokens, outputTokens);
  tokens.expectEqual(total, inputTokens === null || outputTokens === null ? null : inputTokens + outputTokens);
  return { usage, suspect: tokens.suspect || UNPRICED_TIERS.has(body["service_tier"]) };
}

/**
 * `usage` of embeddings in our terms: there is no output, so its count is known to be 0. Suspect: no count, a total that is another number.
 * Source: OpenAI API specification, CreateEmbeddingResponse, 2026-08-21.
 */
export function fromEmbeddingsUsage(body: JsonObject): { readonly usage: Usage; readonly suspect: boolean } {
  const reported = objectIn(body, "usage");
  const tokens = new TokenReader();
  const inputTokens = tokens.read(reported["prompt_tokens"]);
  tokens.expectEqual(tokens.read(reported["total_tokens"]), inputTokens);
  const usage: Usage = { ...NO_USAGE, inputTokens, outputTokens: inputTokens === null ? null : 0 };
  return { usage, suspect: tokens.suspect };
}
