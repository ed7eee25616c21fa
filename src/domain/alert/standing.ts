import type { EpochMs } from "../ids.js";
import type { Alert, AlertRule, AlertText } from "./alert.js";

/** What one rule reads about one subject. The higher, the worse. */
export interface Measure {
  readonly subject: string;
  /** Null: nothing can be said now, so nothing changes. */
  readonly value: number | null;
  /** Bad from this value on. */
  readonly raiseAt: number;
  /** Good below this value, which is at most `raiseAt`: in between an alert stays what it is. */
  readonly clearBelow: number;
  readonly text: AlertText;
}

/** How long readings must agree before an alert changes, milliseconds. */
export interface AlertTimes {
  readonly raiseAfterMs: number;
  readonly clearAfterMs: number;
  /** An alert that recovered is not raised again before this. */
  readonly againAfterMs: number;
}

export type AlertTurn = "raised" | "recovered";

export interface NextAlert {
  /** Null: nothing is left to remember. */
  readonly alert: Alert | null;
  /** Null: nobody has to hear of it. */
  readonly turn: AlertTurn | null;
}

/** How long an alert that recovered is remembered: for people, and so that it is not raised again at once. */
export const REMEMBERED_MS = 86_400_000;

/**
 * The next state of one alert. It turns when all readings of a while pointed there, so one that swings around its threshold is raised
 * once; between two raises there is always a recovery, and from a recovery to the next raise at least `againAfterMs`.
 * @param known null: never heard of.
 * @param measure null: its subject is gone, which is as good as a good reading.
 */
export function nextAlert(
  rule: AlertRule,
  known: Alert | null,
  measure: Measure | null,
  times: AlertTimes,
  nowMs: EpochMs,
): NextAlert {
  if (known?.state === "raised") return nextRaised(known, measure, times, nowMs);
  if (measure === null || measure.value === null || measure.value < measure.raiseAt) return nextGood(known, nowMs);
  return nextBad(rule, known, measure, times, nowMs);
}

function nextGood(known: Alert | null, nowMs: EpochMs): NextAlert {
  if (known === null) return { alert: null, turn: null };
  const forgotten = !known.wasRaised || nowMs - known.sinceMs >= REMEMBERED_MS;
  return { alert: forgotten ? null : changed(known, { turningSinceMs: null }), turn: null };
}

function nextBad(
  rule: AlertRule,
  known: Alert | null,
  { subject, text }: Measure,
  times: AlertTimes,
  nowMs: EpochMs,
): NextAlert {
  const turningSinceMs = Math.min(known?.turningSinceMs ?? nowMs, nowMs);
  const rested = known?.wasRaised !== true || nowMs - known.sinceMs >= times.againAfterMs;
  const raises = rested && nowMs - turningSinceMs >= times.raiseAfterMs;
  if (known === null) {
    const first = { rule, subject, version: 1, wasRaised: raises, text, sinceMs: nowMs };
    return raises
      ? { alert: { ...first, state: "raised", turningSinceMs: null }, turn: "raised" }
      : { alert: { ...first, state: "clear", turningSinceMs }, turn: null };
  }
  if (!raises) return { alert: changed(known, { turningSinceMs }), turn: null };
  const raised = { state: "raised", sinceMs: nowMs, turningSinceMs: null, wasRaised: true, text } as const;
  return { alert: changed(known, raised), turn: "raised" };
}

function nextRaised(known: Alert, measure: Measure | null, times: AlertTimes, nowMs: EpochMs): NextAlert {
  // No news is not good news: what was bad when it was last seen stays so until something says otherwise.
  if (measure !== null && measure.value === null) return { alert: known, turn: null };
  const good = measure === null || (measure.value !== null && measure.value < measure.clearBelow);
  if (!good) return { alert: changed(known, { turningSinceMs: null }), turn: null };
  const turningSinceMs = Math.min(known.turningSinceMs ?? nowMs, nowMs);
  if (nowMs - turningSinceMs < times.clearAfterMs) return { alert: changed(known, { turningSinceMs }), turn: null };
  const text = measure?.text ?? known.text;
  return {
    alert: changed(known, { state: "clear", sinceMs: nowMs, turningSinceMs: null, text }),
    turn: "recovered",
  };
}

/** The same object when nothing changes, so that nothing is written. */
function changed(known: Alert, change: Partial<Alert>): Alert {
  const same = Object.entries(change).every(([key, value]) => known[key as keyof Alert] === value); // keys of Alert by its type
  return same ? known : { ...known, ...change, version: known.version + 1 };
}
