import type { LimitRule } from "./limits.js";

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
