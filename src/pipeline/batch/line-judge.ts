import type { Batch } from "../../domain/batch/batch.js";
import type { BatchLine } from "../../ports/batch-ledger.js";
import type { BatchProvider, LineOutcome } from "../../ports/batch-provider.js";
import type { FinishedCall } from "../../ports/ledger.js";
import type { Clock, Log, Random } from "../../ports/system.js";
import { judgeLine, type FailedLine, type JudgeSettings, type LineEnd } from "../dispatch/call-judge.js";
import type { LineRoutes } from "./line-routes.js";

interface LineJudgeParts {
  readonly judge: JudgeSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const NO_PROVIDER_WORD = { status: null, code: null, requestId: null } as const;

/** Judges lines as calls are judged, by the prices and the billing rule of a batch. */
export class LineJudge {
  readonly #parts: LineJudgeParts;
  readonly #routes: LineRoutes;
  readonly #unpriced: JudgeSettings;

  constructor(parts: LineJudgeParts, routes: LineRoutes) {
    this.#parts = parts;
    this.#routes = routes;
    this.#unpriced = { ...parts.judge, answeredBy: () => ({ price: null, otherModel: false }) };
  }

  /** What a result of the provider's makes of a line. */
  ofResult(provider: BatchProvider, batch: Batch, line: BatchLine, outcome: LineOutcome): FinishedCall {
    const { format, bodyText } = line;
    const end: LineEnd = outcome.kind === "answered" ? provider.answerIn({ format, bodyText }, outcome) : outcome;
    try {
      return this.#judge(batch, line, end);
    } catch (error) {
      this.#parts.log.error("batch.judge_failed", { attempt: line.attempt.no, error });
      return this.ofEnd(batch, line, unreadable("its answer could not be judged"));
    }
  }

  /** What a line came to without a result. */
  ofEnd(batch: Batch, line: BatchLine, end: FailedLine): FinishedCall {
    return this.#judge(batch, line, end);
  }

  #judge(batch: Batch, line: BatchLine, end: LineEnd): FinishedCall {
    const { judge, clock, random } = this.#parts;
    const nowMs = clock.nowMs();
    const { work, priced } = this.#routes.workOf(line, batch, nowMs);
    return judgeLine(priced ? judge : this.#unpriced, work, end, nowMs, random.next());
  }
}

/** It was answered, and nobody can read it. */
export function unreadable(message: string): FailedLine {
  return { kind: "failed", outcome: "bad_response", message, provider: NO_PROVIDER_WORD, billed: "perhaps" };
}

const WITHOUT_RESULT = {
  line_expired: "the batch's time ran out before this line",
  cancelled: "the batch was cancelled before this line ran",
  line_missing: "the results of the batch do not hold this line",
} as const;

/** A line that no result tells of. @param lost the provider had results and has them no more. */
export function withoutResult(outcome: keyof typeof WITHOUT_RESULT, lost: boolean): FailedLine {
  const message = lost ? "the provider has lost the results of the batch" : WITHOUT_RESULT[outcome];
  // A missing line may have run all the same.
  const billed = outcome === "line_missing" ? "perhaps" : "by_rule";
  return { kind: "failed", outcome, message, provider: NO_PROVIDER_WORD, billed, ...(lost ? { lost } : {}) };
}

/** The line for which the provider takes a whole batch not: nothing of that batch ran. */
export function refusedLine(message: string, provider: FailedLine["provider"]): FailedLine {
  return { kind: "failed", outcome: "refused", message, provider, billed: "nothing" };
}
