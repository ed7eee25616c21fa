import type { RateState } from "../engine/limits.js";

/** Output is not counted against a limit here; its headers show one that is never drawn on, this share of the tokens' own. */
const OUTPUT_SHARE = 5;
const THOUSAND = 1000;

/** The last time that was written out: most calls of a second ask for the same one. */
let lastSecond = { second: -1, text: "" };

function secondText(ms: number): string {
  const second = Math.floor(ms / THOUSAND);
  if (second !== lastSecond.second)
    lastSecond = { second, text: `${new Date(second * THOUSAND).toISOString().slice(0, 19)}Z` };
  return lastSecond.text;
}

function headersOf(name: string, limit: number, remaining: number, resetMs: number, nowMs: number): readonly string[] {
  const prefix = `anthropic-ratelimit-${name}`;
  const reset = secondText(nowMs + resetMs);
  return [`${prefix}-limit`, String(limit), `${prefix}-remaining`, String(remaining), `${prefix}-reset`, reset];
}

/** Source: providers.md 4.4, read 2026-11-24: resets as RFC 3339, tokens left rounded to thousands. */
export function rateHeaders(rates: RateState, nowMs: number): readonly string[] {
  const { limitTokens, resetTokensMs } = rates;
  const tokensLeft = Math.round(rates.remainingTokens / THOUSAND) * THOUSAND;
  const output = Math.ceil(limitTokens / OUTPUT_SHARE);
  return [
    ...headersOf("requests", rates.limitRequests, rates.remainingRequests, rates.resetRequestsMs, nowMs),
    ...headersOf("tokens", limitTokens, tokensLeft, resetTokensMs, nowMs),
    ...headersOf("input-tokens", limitTokens, tokensLeft, resetTokensMs, nowMs),
    ...headersOf("output-tokens", output, output, 0, nowMs),
  ];
}
