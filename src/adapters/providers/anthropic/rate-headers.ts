import { headerOf } from "../http.js";
import type { HttpHeaders } from "../http.js";
import { headerCount } from "../rate-limit-reading.js";
import type { RateLimitReading } from "../rate-limit-reading.js";

const NAMES = ["requests", "tokens", "input-tokens", "output-tokens"] as const;

/** `anthropic-ratelimit-{name}-{limit,remaining,reset}`; token remainders are rounded to thousands. Source: rate limit page, 2026-09. */
export function anthropicRateLimits(headers: HttpHeaders, nowMs: number): readonly RateLimitReading[] {
  return NAMES.map((name) => ({
    name,
    limit: headerCount(headerOf(headers, `anthropic-ratelimit-${name}-limit`)),
    remaining: headerCount(headerOf(headers, `anthropic-ratelimit-${name}-remaining`)),
    resetMs: untilMs(headerOf(headers, `anthropic-ratelimit-${name}-reset`), nowMs),
  })).filter((reading) => reading.limit !== null || reading.remaining !== null);
}

/** Resets are RFC 3339 times; one that has passed is 0. */
function untilMs(text: string | null, nowMs: number): number | null {
  if (text === null || !/^\d{4}-\d{2}-\d{2}[Tt]/.test(text)) return null;
  const atMs = Date.parse(text);
  return Number.isNaN(atMs) ? null : Math.max(0, Math.ceil(atMs - nowMs));
}
