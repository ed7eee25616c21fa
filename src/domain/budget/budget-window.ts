import type { EpochMs } from "../ids.js";

/** What a limit is for: all time, or each hour, day or month of a calendar. */
export type BudgetWindow = "total" | "hour" | "day" | "month";

/** From its first millisecond to the first of the next; `untilMs` null: it never ends. */
export interface WindowSpan {
  readonly sinceMs: EpochMs;
  readonly untilMs: EpochMs | null;
}

const HOUR_MS = 3_600_000;
/** Longer than any day or month on any clock, shorter than two. */
const REACH_MS = { day: 30 * HOUR_MS, month: (31 * 24 + 6) * HOUR_MS } as const;

/**
 * The window that a moment lies in. A day begins at the first moment of its date on the zone's clocks, so it has 23 or 25 hours where these
 * are put forward or back; a month likewise. An hour has sixty minutes, and begins where the zone's clocks show a full one.
 * @param timeZone an IANA name. @throws RangeError for one that is unknown.
 */
export function windowAt(window: BudgetWindow, timeZone: string, nowMs: EpochMs): WindowSpan {
  if (window === "total") return { sinceMs: 0, untilMs: null };
  const clock = clockOf(timeZone);
  if (window === "hour") {
    const { minute, second } = wallClock(clock, nowMs);
    const sinceMs = Math.floor(nowMs / 1000) * 1000 - (minute * 60 + second) * 1000;
    return { sinceMs, untilMs: sinceMs + HOUR_MS };
  }
  const dateOf = (atMs: EpochMs): number => {
    const { year, month, day } = wallClock(clock, atMs);
    return window === "day" ? year * 10_000 + month * 100 + day : year * 100 + month;
  };
  const own = dateOf(nowMs);
  return {
    sinceMs: firstMoment(nowMs - REACH_MS[window], nowMs, (atMs) => dateOf(atMs) >= own),
    untilMs: firstMoment(nowMs, nowMs + REACH_MS[window], (atMs) => dateOf(atMs) > own),
  };
}

export function isTimeZone(name: string): boolean {
  try {
    clockOf(name);
    return true;
  } catch {
    return false;
  }
}

/** The first moment that is so, between one that is not and one that is; by halving, since it stays so. */
function firstMoment(notYetMs: EpochMs, soMs: EpochMs, isSo: (atMs: EpochMs) => boolean): EpochMs {
  let [low, high] = [notYetMs, soMs];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (isSo(middle)) high = middle;
    else low = middle;
  }
  return high;
}

interface WallClock {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly minute: number;
  readonly second: number;
}

const clocks = new Map<string, Intl.DateTimeFormat>();

function clockOf(timeZone: string): Intl.DateTimeFormat {
  const known = clocks.get(timeZone);
  if (known !== undefined) return known;
  const clock = new Intl.DateTimeFormat("en-US-u-ca-gregory", {
    timeZone,
    ...{ year: "numeric", month: "2-digit", day: "2-digit" },
    ...{ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  });
  clocks.set(timeZone, clock);
  return clock;
}

function wallClock(clock: Intl.DateTimeFormat, atMs: EpochMs): WallClock {
  const parts = new Map(clock.formatToParts(atMs).map(({ type, value }) => [type, Number(value)]));
  const part = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
  return { year: part("year"), month: part("month"), day: part("day"), minute: part("minute"), second: part("second") };
}
