import { headerOf } from "./http.js";
import type { HttpHeaders } from "./http.js";

/** Longer than anything a caller waits; keeps sums of times exact. The dispatcher has a far lower cap of its own. */
const WAIT_MS_MAX = 365 * 24 * 3_600_000;

/**
 * How long a provider asks to be left alone, milliseconds: `retry-after-ms`, else `retry-after` as seconds (a fraction is allowed) or as
 * an HTTP date. Null when it says nothing that can be read. Source: the retry rule of the providers' own clients, read 2026-11.
 */
export function retryAfterMs(headers: HttpHeaders, nowMs: number): number | null {
  const direct = numberOf(headerOf(headers, "retry-after-ms"));
  if (direct !== null) return bounded(direct);
  const text = headerOf(headers, "retry-after");
  if (text === null) return null;
  const seconds = numberOf(text);
  if (seconds !== null) return bounded(seconds * 1000);
  const dateMs = /[a-z]/i.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(dateMs) ? null : bounded(Math.max(0, dateMs - nowMs));
}

function numberOf(text: string | null): number | null {
  return text !== null && /^\s*\d{1,15}(?:\.\d{1,9})?\s*$/.test(text) ? Number(text) : null;
}

function bounded(waitMs: number): number {
  return Math.min(Math.ceil(waitMs), WAIT_MS_MAX);
}
