const lastTime = { ms: 0, iso: "" };

/** Formatting a time costs more than the rest of a bill's row; rows of one millisecond share it. */
export function isoTime(nowMs: number): string {
  if (nowMs !== lastTime.ms) {
    lastTime.ms = nowMs;
    lastTime.iso = new Date(nowMs).toISOString();
  }
  return lastTime.iso;
}
