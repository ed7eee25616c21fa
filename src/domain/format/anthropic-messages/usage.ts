import type { Usage } from "../../cost/usage.js";
import { countIn, objectIn, restOf, sumOf } from "../fields.js";
import { isJsonObject } from "../json.js";
import type { JsonObject } from "../json.js";

/**
 * `input_tokens` leaves out what the cache read and wrote; `output_tokens` includes thinking. Writes for five minutes and for one hour are
 * told apart in `cache_creation`, where that is there.
 * Source: Anthropic Messages API reference, usage, 2026-09.
 */
export function readUsage(answer: JsonObject): Usage {
  const usage = objectIn(answer, "usage");
  const split = usage["cache_creation"];
  const cachedInputTokens = countIn(usage, "cache_read_input_tokens");
  const written = countIn(usage, "cache_creation_input_tokens");
  const short = isJsonObject(split) ? countIn(split, "ephemeral_5m_input_tokens") : written;
  const hour = isJsonObject(split) ? countIn(split, "ephemeral_1h_input_tokens") : null;
  return {
    inputTokens: sumOf(countIn(usage, "input_tokens"), cachedInputTokens, short, hour),
    cachedInputTokens,
    cacheWriteTokens: short,
    cacheWrite1hTokens: hour,
    outputTokens: countIn(usage, "output_tokens"),
    reasoningTokens: countIn(objectIn(usage, "output_tokens_details"), "thinking_tokens"),
  };
}

/** Unknown counts are null, as the format has them. */
export function writeUsage(usage: Usage): JsonObject {
  const { inputTokens, cachedInputTokens, cacheWriteTokens, cacheWrite1hTokens, reasoningTokens } = usage;
  return {
    input_tokens: restOf(inputTokens, cachedInputTokens, cacheWriteTokens, cacheWrite1hTokens),
    cache_creation_input_tokens: sumOf(cacheWriteTokens, cacheWrite1hTokens),
    cache_read_input_tokens: cachedInputTokens,
    cache_creation:
      cacheWriteTokens === null || cacheWrite1hTokens === null
        ? null
        : { ephemeral_5m_input_tokens: cacheWriteTokens, ephemeral_1h_input_tokens: cacheWrite1hTokens },
    output_tokens: usage.outputTokens,
    output_tokens_details: reasoningTokens === null ? null : { thinking_tokens: reasoningTokens },
  };
}
