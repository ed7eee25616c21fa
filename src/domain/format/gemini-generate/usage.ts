import type { Usage } from "../../cost/usage.js";
import { countIn, objectIn, restOf, sumOf } from "../fields.js";
import type { JsonObject } from "../json.js";

/**
 * `promptTokenCount` includes cached tokens, `candidatesTokenCount` leaves thoughts out. A count of zero is left out by the provider, so output
 * that is not there is what the total leaves for it.
 * Source: Gemini API reference, UsageMetadata, 2026-08.
 */
export function readUsage(answer: JsonObject): Usage {
  const usage = objectIn(answer, "usageMetadata");
  const prompt = countIn(usage, "promptTokenCount");
  const ofTools = countIn(usage, "toolUsePromptTokenCount");
  const thoughts = countIn(usage, "thoughtsTokenCount");
  const candidates = countIn(usage, "candidatesTokenCount");
  const inputTokens = sumOf(prompt, ofTools);
  const total = countIn(usage, "totalTokenCount");
  return {
    inputTokens,
    cachedInputTokens: countIn(usage, "cachedContentTokenCount"),
    cacheWriteTokens: null,
    cacheWrite1hTokens: null,
    outputTokens:
      candidates === null ? (inputTokens === null ? null : restOf(total, inputTokens)) : sumOf(candidates, thoughts),
    reasoningTokens: thoughts,
  };
}

/** Known zeros are written: they tell more than nothing. */
export function writeUsage(usage: Usage): JsonObject {
  const { inputTokens, outputTokens, reasoningTokens } = usage;
  return {
    promptTokenCount: inputTokens ?? undefined,
    cachedContentTokenCount: usage.cachedInputTokens ?? undefined,
    candidatesTokenCount: restOf(outputTokens, reasoningTokens) ?? undefined,
    thoughtsTokenCount: reasoningTokens ?? undefined,
    totalTokenCount: inputTokens === null ? undefined : (sumOf(outputTokens, inputTokens) ?? undefined),
  };
}
