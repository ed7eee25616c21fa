import type { EpochMs } from "../ids.js";

/** Hours of the week by the clock of a place, such as business hours. */
export interface WeekHours {
  /** IANA name: `Europe/Zurich`. */
  readonly timeZone: string;
  /** The days on which a span begins; at least one. */
  readonly days: readonly WeekDay[];
  /** `HH:MM`; the span is from `from`, included, to `to`, not included. Past midnight when `to` is before `from`. */
  readonly from: string;
  readonly to: string;
}

/** In the order of the week. */
export const WEEK_DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
export type WeekDay = (typeof WEEK_DAYS)[number];

const MINUTE_MS = 60_000;
const MINUTES_PER_DAY = 1440;

interface Looked {
  minute: number;
  within: boolean;
}

/** The last minute that each span was asked about: a router asks of every job, and the calendar is slow to say. */
const LAST = new WeakMap<WeekHours, Looked>();
const FORMATS = new Map<string, Intl.DateTimeFormat>();

/**
 * Whether the clock of the place shows a time within the hours; spans follow that clock through changes to and from summer time, so one
 * may be an hour shorter or longer that day.
 * @throws RangeError for a time zone that nobody knows; the config refuses it.
 */
export function isWithin(hours: WeekHours, nowMs: EpochMs): boolean {
  const minute = Math.floor(nowMs / MINUTE_MS);
  const last = LAST.get(hours);
  if (last?.minute === minute) return last.within;
  const within = look(hours, minute * MINUTE_MS);
  LAST.set(hours, { minute, within });
  return within;
}

export function isTimeZone(name: string): boolean {
  try {
    return formatOf(name).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

function look({ timeZone, days, from, to }: WeekHours, atMs: EpochMs): boolean {
  const { day, minute } = wallClock(timeZone, atMs);
  const [begin, end] = [minuteOf(from), minuteOf(to)];
  const begins = (place: number): boolean => days.includes(WEEK_DAYS[(place + 7) % 7] ?? "mon");
  if (begin < end) return begins(day) && minute >= begin && minute < end;
  return (begins(day) && minute >= begin) || (begins(day - 1) && minute < end);
}

/** Day of the week from Monday, 0, and minute of the day. */
function wallClock(timeZone: string, atMs: EpochMs): { readonly day: number; readonly minute: number } {
  const parts = new Map(
    formatOf(timeZone)
      .formatToParts(atMs)
      .map(({ type, value }) => [type, value]),
  );
  const day = WEEK_DAYS.findIndex((name) => name === parts.get("weekday")?.toLowerCase());
  return { day, minute: (Number(parts.get("hour")) * 60 + Number(parts.get("minute"))) % MINUTES_PER_DAY };
}

function minuteOf(text: string): number {
  return Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = FORMATS.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-GB", {
      timeZone,
      weekday: "short",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    });
    FORMATS.set(timeZone, format);
  }
  return format;
}
