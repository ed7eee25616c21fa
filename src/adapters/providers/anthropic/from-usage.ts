import type { Usage } from "../../../domain/cost/usage.js";
import { isJsonObject, objectIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import { TokenReader } from "../token-reader.js";

/**
 * `usage` of a message in our terms. Anthropic's `input_tokens` leaves out what its cache read and wrote, so the whole prompt is the sum of the
 * three; `output_tokens` includes thinking. Writes are split into five-minute and one-hour ones where the split is reported, else
 * they count as five-minute ones. Suspect: no count, a split that is not the sum, the priority tier (committed capacity, not listed).
 * Source: Anthropic Messages API reference, usage, 2026-09.
 */
export function fromAnthropicUsage(body: JsonObject): { readonly usage: Usage; readonly suspect: boolean } {
  const reported = objectIn(body, "usage");
  const tokens = new TokenReader();
  const plain = tokens.read(reported["input_tokens"]);
  const read = tokens.read(reported["cache_read_input_tokens"]);
  const written = tokens.read(reported["cache_creation_input_tokens"]);
  const writes = splitWrites(reported, written, tokens);
  const outputTokens = tokens.read(reported["output_tokens"]);
  const reasoningTokens = tokens.read(objectIn(reported, "output_tokens_details")["thinking_tokens"]);
  tokens.expectWithin(reasoningTokens, outputTokens);
  const usage: Usage = {
    inputTokens: plain === null ? null : plain + (read ?? 0) + (writes.short ?? 0) + (writes.hour ?? 0),
    cachedInputTokens: read,
    cacheWriteTokens: writes.short,
    cacheWrite1hTokens: writes.hour,
    outputTokens,
    reasoningTokens,
  };
  return { usage, suspect: tokens.suspect || reported["service_tier"] === "priority" };
}

interface CacheWrites {
  readonly short: number | null;
  readonly hour: number | null;
}

function splitWrites(reported: JsonObject, written: number | null, tokens: TokenReader): CacheWrites {
  const split = reported["cache_creation"];
  if (!isJsonObject(split)) return { short: written, hour: null };
  const short = tokens.read(split["ephemeral_5m_input_tokens"]);
  const hour = tokens.read(split["ephemeral_1h_input_tokens"]);
  if (short === null && hour === null) return { short: written, hour: null };
  tokens.expectEqual(written, (short ?? 0) + (hour ?? 0));
  return { short, hour };
}
