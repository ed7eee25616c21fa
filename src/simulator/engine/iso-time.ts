const lastSecond = { s: -1, prefix: "" };

/** An ISO time in UTC with milliseconds. Formatting one costs more than the rest of a bill's row; those of one second share it. */
export function isoTime(nowMs: number): string {
  const s = Math.floor(nowMs / 1000);
  if (s !== lastSecond.s) {
    lastSecond.s = s;
    lastSecond.prefix = new Date(s * 1000).toISOString().slice(0, -4);
  }
  const ms = nowMs - s * 1000;
  return `${lastSecond.prefix}${ms < 10 ? "00" : ms < 100 ? "0" : ""}${String(ms)}Z`;
}
