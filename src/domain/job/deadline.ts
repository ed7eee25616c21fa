import type { EpochMs } from "../ids.js";

/** How long a job may live, milliseconds. */
export interface LifetimeLimits {
  readonly defaultTtlMs: number;
  readonly defaultTtlBatchMs: number;
  readonly maxTtlMs: number;
}

export interface AskedLifetime {
  readonly deadline: string | null;
  readonly ttlMs: number | null;
  readonly isBatch: boolean;
}

export type DeadlineChoice =
  { readonly kind: "deadline"; readonly atMs: EpochMs } | { readonly kind: "bad"; readonly message: string };

/**
 * The earlier of what the job asks for, else the default. A deadline in the past is a deadline like another.
 * @param fromMs time that a time to live counts from.
 */
export function chooseDeadline(asked: AskedLifetime, fromMs: EpochMs, limits: LifetimeLimits): DeadlineChoice {
  const latestMs = fromMs + limits.maxTtlMs;
  let atMs = Number.POSITIVE_INFINITY;
  if (asked.deadline !== null) {
    const parsedMs = parseRfc3339(asked.deadline);
    if (parsedMs === null) {
      return bad("deadline: expected a time as in RFC 3339 with a zone, like 2026-12-01T12:00:00Z, got another text");
    }
    if (parsedMs > latestMs) return bad(`deadline: expected ${within(limits.maxTtlMs)}, got a later time`);
    atMs = parsedMs;
  }
  if (asked.ttlMs !== null) {
    if (asked.ttlMs > limits.maxTtlMs) {
      return bad(`ttlMs: expected at most ${String(limits.maxTtlMs)}, got ${String(asked.ttlMs)}`);
    }
    atMs = Math.min(atMs, fromMs + asked.ttlMs);
  }
  if (atMs === Number.POSITIVE_INFINITY) {
    atMs = fromMs + Math.min(asked.isBatch ? limits.defaultTtlBatchMs : limits.defaultTtlMs, limits.maxTtlMs);
  }
  return { kind: "deadline", atMs };
}

function within(maxTtlMs: number): string {
  return `at most ${String(maxTtlMs)} ms after the record's timestamp (delivery.maxTtlMs)`;
}

function bad(message: string): DeadlineChoice {
  return { kind: "bad", message };
}

const RFC_3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;

/** Milliseconds since 1970 UTC, fractions below a millisecond cut off; null for anything that is no such time. */
export function parseRfc3339(text: string): EpochMs | null {
  const found = RFC_3339.exec(text);
  if (found === null) return null;
  const part = (index: number): number => Number(found[index] ?? 0);
  const [year, month, day] = [part(1), part(2), part(3)];
  const [hour, minute, second] = [part(4), part(5), part(6)];
  const [zoneHours, zoneMinutes] = [part(9), part(10)];
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return null;
  if (hour > 23 || minute > 59 || second > 60 || zoneHours > 23 || zoneMinutes > 59) return null; // 60: a leap second
  const fractionMs = Number((found[7] ?? "").padEnd(3, "0").slice(0, 3));
  const zoneMs = (found[8] === "-" ? -1 : 1) * (zoneHours * 60 + zoneMinutes) * 60_000;
  return Date.UTC(year, month - 1, day, hour, minute, second, fractionMs) - zoneMs;
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}
