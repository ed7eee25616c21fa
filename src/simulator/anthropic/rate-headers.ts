import { isoSecond } from "../engine/iso-time.js";
import type { RateState } from "../engine/limits.js";

/** Output is not counted against a limit here; its headers show one that is never drawn on, this share of the tokens' own. */
const OUTPUT_SHARE = 5;
const THOUSAND = 1000;

/** Source: providers.md 4.4, read 2026-11-24: resets as RFC 3339, tokens left rounded to thousands. */
export function rateHeaders(rates: RateState, nowMs: number): readonly string[] {
  const { limitTokens, limitRequests } = rates;
  const tokens = String(limitTokens);
  const tokensLeft = String(Math.round(rates.remainingTokens / THOUSAND) * THOUSAND);
  const tokensReset = isoSecond(nowMs + rates.resetTokensMs);
  const output = String(Math.ceil(limitTokens / OUTPUT_SHARE));
  return [
    "anthropic-ratelimit-requests-limit",
    String(limitRequests),
    "anthropic-ratelimit-requests-remaining",
    String(rates.remainingRequests),
    "anthropic-ratelimit-requests-reset",
    isoSecond(nowMs + rates.resetRequestsMs),
    "anthropic-ratelimit-tokens-limit",
    tokens,
    "anthropic-ratelimit-tokens-remaining",
    tokensLeft,
    "anthropic-ratelimit-tokens-reset",
    tokensReset,
    "anthropic-ratelimit-input-tokens-limit",
    tokens,
    "anthropic-ratelimit-input-tokens-remaining",
    tokensLeft,
    "anthropic-ratelimit-input-tokens-reset",
    tokensReset,
    "anthropic-ratelimit-output-tokens-limit",
    output,
    "anthropic-ratelimit-output-tokens-remaining",
    output,
    "anthropic-ratelimit-output-tokens-reset",
    isoSecond(nowMs),
  ];
}
