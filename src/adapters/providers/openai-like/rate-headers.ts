import { headerOf } from "../http.js";
import type { HttpHeaders } from "../http.js";
import { headerCount } from "../rate-limit-reading.js";
import type { RateLimitReading } from "../rate-limit-reading.js";

const NAMES = ["requests", "tokens"] as const;
const UNIT_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
  us: 0.001,
  µs: 0.001,
  ns: 0.000_001,
};

/** `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`. Source: OpenAI rate limit guide, 2026-08. */
export function openaiLikeRateLimits(headers: HttpHeaders): readonly RateLimitReading[] {
  return NAMES.map((name) => ({
    name,
    limit: headerCount(headerOf(headers, `x-ratelimit-limit-${name}`)),
    remaining: headerCount(headerOf(headers, `x-ratelimit-remaining-${name}`)),
    resetMs: goDurationMs(headerOf(headers, `x-ratelimit-reset-${name}`)),
  })).filter((reading) => reading.limit !== null || reading.remaining !== null);
}

/** Resets are Go durations: `1s`, `6m0s`, `20ms`, `1h2m3.5s`. Rounded up to whole milliseconds; null when it is none. */
export function goDurationMs(text: string | null): number | null {
  if (text === null || text.length > 40 || !/^(?:\d+(?:\.\d+)?(?:h|ms|m|s|us|µs|ns))+$/.test(text)) return null;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)/g)) {
    totalMs += Number(amount) * (UNIT_MS[unit ?? ""] ?? 0);
  }
  return Math.ceil(totalMs);
}
