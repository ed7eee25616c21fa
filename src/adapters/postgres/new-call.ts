import type { AttemptSummary, ServedAnswer } from "../../domain/execution/execution.js";
import type { Settled } from "../../ports/budget-store.js";
import type { FinishedCall } from "../../ports/ledger.js";
import type { EndedAttempt } from "./budget/ended-attempt.js";

/** A call whose outcome was not known before. */
export interface NewCall extends FinishedCall {
  /** False once the attempt has a cost record (its doubt was settled): what is learned now is an adjustment. */
  readonly chargeIsFirst: boolean;
  /** What it had reserved. */
  readonly held: EndedAttempt;
}

export function historyOf(call: NewCall): readonly AttemptSummary[] {
  return [...call.earlier, call.summary];
}

/** What ended attempts cost; one in doubt has not ended. */
export function settledOf(calls: readonly NewCall[]): readonly Settled<EndedAttempt>[] {
  const settled: Settled<EndedAttempt>[] = [];
  for (const { held, nanoUsd, verdict } of calls)
    if (verdict.kind !== "doubt" && held.reservedIn !== null) settled.push({ attempt: held, nanoUsd });
  return settled;
}

/** What was billed; whether it serves anybody is another question. */
export function answerOf({ verdict }: NewCall): ServedAnswer | null {
  return verdict.kind === "succeed" || verdict.kind === "fail" ? verdict.answer : null;
}
