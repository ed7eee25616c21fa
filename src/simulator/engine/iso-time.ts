const DAY_S = 86_400;
const lastDay = { day: -1, prefix: "" };

function twoDigits(value: number): string {
  return value < 10 ? `0${String(value)}` : String(value);
}

/** An ISO time in UTC up to its seconds. Formatting a whole date costs more than a bill's row; the times of one day share it. */
function upToSeconds(second: number): string {
  const day = Math.floor(second / DAY_S);
  if (day !== lastDay.day) {
    lastDay.day = day;
    lastDay.prefix = new Date(day * DAY_S * 1000).toISOString().slice(0, 11);
  }
  const rest = second - day * DAY_S;
  const hours = Math.floor(rest / 3600);
  const minutes = Math.floor(rest / 60) % 60;
  return `${lastDay.prefix}${twoDigits(hours)}:${twoDigits(minutes)}:${twoDigits(rest % 60)}`;
}

/** An ISO time in UTC with milliseconds. */
export function isoTime(nowMs: number): string {
  const second = Math.floor(nowMs / 1000);
  const ms = nowMs - second * 1000;
  return `${upToSeconds(second)}.${ms < 10 ? "00" : ms < 100 ? "0" : ""}${String(ms)}Z`;
}

/** An ISO time in UTC, its part of a second left out. */
export function isoSecond(nowMs: number): string {
  return `${upToSeconds(Math.floor(nowMs / 1000))}Z`;
}
