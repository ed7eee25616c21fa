import type { Usage } from "../../cost/usage.js";
import { countIn, objectIn } from "../fields.js";
import type { JsonObject } from "../json.js";

/**
 * `prompt_tokens` is the whole prompt, cached tokens included; `completion_tokens` includes reasoning.
 * Source: OpenAI API specification, CompletionUsage, 2026-08-21.
 */
export function readUsage(answer: JsonObject): Usage {
  const usage = objectIn(answer, "usage");
  const prompt = objectIn(usage, "prompt_tokens_details");
  return {
    inputTokens: countIn(usage, "prompt_tokens"),
    cachedInputTokens: countIn(prompt, "cached_tokens"),
    cacheWriteTokens: countIn(prompt, "cache_write_tokens"),
    cacheWrite1hTokens: null,
    outputTokens: countIn(usage, "completion_tokens"),
    reasoningTokens: countIn(objectIn(usage, "completion_tokens_details"), "reasoning_tokens"),
  };
}

/** Left out when a count is unknown: the format has no way to say so. */
export function writeUsage(usage: Usage): JsonObject | undefined {
  const { inputTokens, outputTokens } = usage;
  if (inputTokens === null || outputTokens === null) return undefined;
  const { cacheWriteTokens, cacheWrite1hTokens } = usage;
  const written = cacheWriteTokens === null ? cacheWrite1hTokens : cacheWriteTokens + (cacheWrite1hTokens ?? 0);
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    prompt_tokens_details: details({ cached_tokens: usage.cachedInputTokens, cache_write_tokens: written }),
    completion_tokens_details: details({ reasoning_tokens: usage.reasoningTokens }),
  };
}

/** Only what is known; nothing when nothing is. */
function details(counts: Readonly<Record<string, number | null>>): JsonObject | undefined {
  const known = Object.entries(counts).filter(([, count]) => count !== null);
  return known.length === 0 ? undefined : Object.fromEntries(known);
}
