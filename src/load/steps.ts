/** The steps of a run: how long each is, what the next one asks for, and whether one was too much. */

export interface LoadTimes {
  readonly stepMs: number;
  /** For all steps together. */
  readonly stepsMs: number;
  /** Beyond the rate that was too much. */
  readonly overloadMs: number;
  /** How long the end of what was published is waited for. */
  readonly recoveryMaxMs: number;
}

const STEP_MIN_MS = 2000;
const STEP_MAX_MS = 60_000;
const STEPS_WISHED = 10;
const STEPS_SHARE = 0.6;
const OVERLOAD_SHARE = 0.15;
const RATE_GROWTH = 1.25;
/** Past the breaking point by so much. */
const OVERLOAD_GROWTH = 1.5;

export function loadTimes(minutes: number): LoadTimes {
  const allMs = minutes * 60_000;
  const stepsMs = Math.round(allMs * STEPS_SHARE);
  const stepMs = Math.round(Math.min(STEP_MAX_MS, Math.max(STEP_MIN_MS, stepsMs / STEPS_WISHED)));
  const overloadMs = Math.round(allMs * OVERLOAD_SHARE);
  return { stepMs, stepsMs, overloadMs, recoveryMaxMs: Math.max(10_000, allMs - stepsMs - overloadMs) };
}

export function nextRate(rate: number): number {
  return Math.max(rate + 1, Math.round(rate * RATE_GROWTH));
}

export function overloadRate(rate: number): number {
  return Math.round(rate * OVERLOAD_GROWTH);
}

/**
 * What came of a step's second half, when what is in the air has come to what the rate keeps there; of direct calls alone, since lines of
 * batches wait by design.
 */
export interface StepFigures {
  readonly published: number;
  readonly answered: number;
  /** Published and not answered, at its beginning and its end. */
  readonly openAtStart: number;
  readonly openAtEnd: number;
  /** Of what was answered in each half of the step; null: nothing. */
  readonly p99FirstMs: number | null;
  readonly p99SecondMs: number | null;
}

export type StepVerdict = { readonly kind: "holds" } | { readonly kind: "breaks"; readonly because: string };

/** A step that keeps up answers nearly all that it is given; the rest is what is in the air. */
const KEPT_UP_SHARE = 0.95;
/** A p99 that doubles within a step, from here on, grows for as long as the step goes on. */
const P99_GROWTH = 2;
const P99_COUNTS_FROM_MS = 1000;

export function stepVerdict(step: StepFigures): StepVerdict {
  const { published, answered, openAtStart, openAtEnd, p99FirstMs, p99SecondMs } = step;
  const grew = openAtEnd - openAtStart;
  if (grew > published * (1 - KEPT_UP_SHARE) && answered < published * KEPT_UP_SHARE)
    return {
      kind: "breaks",
      because: `${String(answered)} of ${String(published)} were answered, ${String(openAtEnd)} wait`,
    };
  const isSlow = p99SecondMs !== null && p99SecondMs >= P99_COUNTS_FROM_MS;
  if (isSlow && p99FirstMs !== null && p99SecondMs > p99FirstMs * P99_GROWTH)
    return {
      kind: "breaks",
      because: `p99 grew from ${String(Math.round(p99FirstMs))} to ${String(Math.round(p99SecondMs))} ms within the step`,
    };
  return { kind: "holds" };
}

/** How many are due by now, of a schedule that waits for nobody. */
export function dueBy(rate: number, elapsedMs: number): number {
  return Math.floor((rate * elapsedMs) / 1000);
}
