import type { EpochMs } from "../ids.js";
import type { Headroom } from "../route/route-condition.js";
import { neverFits, type LimitRule, type LimitScope } from "./limits.js";

/** What all routers together keep of one limit. */
export interface LimitReading {
  /** What the provider says it is, where that is less than what is stated. */
  readonly learned: number | null;
  /** Share of the limit that holds now, after refusals; 1: all of it. */
  readonly factor: number;
  /** Granted within its window. */
  readonly used: number;
}

/** A limit as people see it. */
export interface LimitStanding {
  readonly rule: LimitRule;
  /** Where the number that holds comes from; null: not known from here. */
  readonly state: "stated" | "learned" | "tightened" | null;
  readonly learned: number | null;
  /** What holds now, in whole units; null: not known from here. */
  readonly holds: number | null;
  readonly used: number | null;
  /** Used, as a share of what holds. */
  readonly usedShare: number | null;
}

/** @param reading undefined: nobody has used it of late; null: it can't be known from here. */
export function limitStanding(rule: LimitRule, reading: LimitReading | null | undefined): LimitStanding {
  if (reading === null) return { rule, state: null, learned: null, holds: null, used: null, usedShare: null };
  const { learned, factor, used } = reading ?? { learned: null, factor: 1, used: 0 };
  const holds = Math.floor((learned ?? rule.limit) * factor);
  const state = factor < 1 ? "tightened" : learned === null ? "stated" : "learned";
  return { rule, state, learned, holds, used, usedShare: holds === 0 ? null : used / holds };
}

const WINDOW_MS = { minute: 60_000, day: 86_400_000 } as const satisfies Record<LimitRule["window"], number>;

/**
 * What limits leave to a call, by what all routers keep of them together. Takes nothing.
 * @param readings by the limit's key; null: they can't be known from here, and only what the config states speaks.
 * @param waiting calls that wait for the scope already: they go first.
 */
export function headroomBy(
  { name, rules }: Pick<LimitScope, "name" | "rules">,
  tokens: number,
  readings: ReadonlyMap<string, LimitReading> | null,
  waiting: number,
  nowMs: EpochMs,
): Headroom {
  const never = neverFits(rules, tokens, readings ?? new Map<string, LimitReading>());
  if (never !== null) return { kind: "never", because: never };
  let limit = waiting > 0 ? name : null;
  let waitMs = 0;
  for (const rule of rules) {
    const needed = rule.unit === "tokens" ? tokens : 1;
    const { holds, used } = limitStanding(rule, readings === null ? null : readings.get(rule.key));
    // At least one of whatever it counts comes free in its time.
    waitMs = Math.max(waitMs, (WINDOW_MS[rule.window] * needed) / Math.max(1, holds ?? rule.limit));
    if (holds !== null && used !== null && used + needed > holds) limit = rule.key;
  }
  if (limit === null) return { kind: "go" };
  return { kind: "wait", runAtMs: nowMs + Math.ceil(waitMs * (waiting + 1)), waitsFor: "rate_limit", limit };
}
