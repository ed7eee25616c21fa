import type { TurnaroundBook } from "../batch/turnaround.js";
import type { EpochMs } from "../ids.js";
import { ALERT_RULE_NAMES, alertName, type Alert, type AlertRule } from "./alert.js";
import type { AlertReadings } from "./readings.js";
import { RULES, type AlertScene } from "./rules.js";
import type { AlertSettings } from "./settings.js";
import { nextAlert, type AlertTurn, type Measure } from "./standing.js";
import { nextSlots, sumOf, type Tally, type TallySlot } from "./tally.js";

/** What the looks remember from one to the next, whichever router makes them. Plain data of bounded size. */
export interface AlertMemory {
  readonly slots: readonly TallySlot[];
  readonly lastEndedAtMs: EpochMs | null;
  readonly watchingSinceMs: EpochMs;
  readonly lookedAtMs: EpochMs;
}

/** What one look sees. */
export interface AlertSight {
  readonly nowMs: EpochMs;
  /** Null: nobody looked before. */
  readonly memory: AlertMemory | null;
  /** What routers counted since the last look. */
  readonly counted: Tally;
  readonly alerts: readonly Alert[];
  readonly readings: AlertReadings;
}

/** What the one who looks knows beside it. */
export interface AlertTerms extends Pick<AlertScene, "accounts" | "turnaround" | "callPriorMs"> {
  readonly settings: AlertSettings;
  readonly turnaround: TurnaroundBook;
}

export interface AlertChange {
  /** Null: it is new. */
  readonly before: Alert | null;
  /** Null: it is forgotten. */
  readonly after: Alert | null;
  readonly turn: AlertTurn | null;
}

export interface AlertVerdict {
  readonly memory: AlertMemory;
  /** Only of alerts that change. */
  readonly changes: readonly AlertChange[];
}

/** A pause between two looks that is longer than so many intervals is a gap: nobody knows what was meanwhile. */
const GAP_INTERVALS = 4;
/** Alerts that are remembered at once; further subjects are left alone until others are over. */
export const ALERTS_MAX = 1000;
/** Alerts that one look raises or ends; the others turn at the next. */
export const TURNS_MAX = 100;

/** One look: what is remembered from now on, and which alerts change. Pure. */
export function judgeAlerts(sight: AlertSight, terms: AlertTerms): AlertVerdict {
  const memory = nextMemory(sight, terms.settings);
  const scene: AlertScene = {
    ...terms,
    nowMs: sight.nowMs,
    readings: sight.readings,
    window: sumOf(memory.slots.map(({ tally }) => tally)),
    countedMs: sight.nowMs - (memory.slots[0]?.sinceMs ?? sight.nowMs),
    lastEndedAtMs: memory.lastEndedAtMs,
    watchingSinceMs: memory.watchingSinceMs,
  };
  let [room, turns] = [Math.max(0, ALERTS_MAX - sight.alerts.length), TURNS_MAX];
  const changes = ALERT_RULE_NAMES.flatMap((rule) => changesOf(rule, sight.alerts, scene)).filter(
    ({ before, turn }) => {
      if ((before === null && room === 0) || (turn !== null && turns === 0)) return false;
      if (before === null) room -= 1;
      if (turn !== null) turns -= 1;
      return true;
    },
  );
  return { memory, changes };
}

function changesOf(rule: AlertRule, alerts: readonly Alert[], scene: AlertScene): readonly AlertChange[] {
  const measures = RULES[rule](scene);
  const known = new Map(alerts.filter((alert) => alert.rule === rule).map((alert) => [alert.subject, alert]));
  const read = new Map((measures ?? [...known.keys()].map(unread)).map((measure) => [measure.subject, measure]));
  const subjects = new Set([...known.keys(), ...read.keys()]);
  return [...subjects].flatMap((subject): readonly AlertChange[] => {
    const before = known.get(subject) ?? null;
    const { alert, turn } = nextAlert(rule, before, read.get(subject) ?? null, scene.settings, scene.nowMs);
    return alert === before ? [] : [{ before, after: alert, turn }];
  });
}

/** What a rule says of a known subject when its source could not be read. */
function unread(subject: string): Measure {
  return { subject, value: null, raiseAt: 0, clearBelow: 0, text: { message: "", details: {} } };
}

function nextMemory({ memory, counted, nowMs }: AlertSight, { everyMs, windowMs }: AlertSettings): AlertMemory {
  const gap = memory === null || nowMs - memory.lookedAtMs > everyMs * GAP_INTERVALS;
  return {
    slots: nextSlots(memory?.slots ?? [], counted, windowMs, nowMs),
    lastEndedAtMs: counted.ended > 0 ? nowMs : (memory?.lastEndedAtMs ?? null),
    watchingSinceMs: gap ? nowMs : memory.watchingSinceMs,
    lookedAtMs: nowMs,
  };
}

/** How many alerts of each rule are raised after these changes. */
export function raisedByRule(
  alerts: readonly Alert[],
  changes: readonly AlertChange[],
): ReadonlyMap<AlertRule, number> {
  const after = new Map(alerts.map((alert) => [alertName(alert), alert]));
  for (const { before, after: next } of changes) {
    if (next !== null) after.set(alertName(next), next);
    else if (before !== null) after.delete(alertName(before));
  }
  const raised = new Map<AlertRule, number>(ALERT_RULE_NAMES.map((rule) => [rule, 0]));
  for (const { rule, state } of after.values()) if (state === "raised") raised.set(rule, (raised.get(rule) ?? 0) + 1);
  return raised;
}
