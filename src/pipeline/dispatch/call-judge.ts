import type { AnswerFacts, AttemptSummary, ServedAnswer, Verdict } from "../../domain/execution/execution.js";
import { FAILURE_POLICY, type AttemptOutcome, type Failure } from "../../domain/failure.js";
import { answersInJson, asksForJson } from "../../domain/job/expected-json.js";
import { chargeNanoUsd } from "../../domain/cost/charge.js";
import type { ModelPrice } from "../../domain/cost/price.js";
import { NO_USAGE, type Usage } from "../../domain/cost/usage.js";
import { answerCutOff, answerTooLarge } from "../../domain/result/result-size.js";
import { decideAfter, type RetryLimits } from "../../domain/route/next-attempt.js";
import type { FinishedCall } from "../../ports/ledger.js";
import type { ProviderAnswer, ProviderFailure } from "../../ports/provider.js";
import type { Work } from "./work.js";

export interface JudgeSettings {
  readonly retry: RetryLimits;
  readonly graceMs: (account: string) => number;
  /** Longest value of a result record. */
  readonly resultBytesMax: number;
  /** Price of the model that answered; null when it has none. */
  readonly answeredPrice: (work: Work, modelVersion: string | null) => ModelPrice | null;
}

/** Turns what a call came to into the fact and the decision that finish writes. Pure. */
export function judgeCall(
  settings: JudgeSettings,
  work: Work,
  outcome: ProviderAnswer | ProviderFailure,
  nowMs: number,
  random: number,
): FinishedCall {
  return outcome.kind === "answered"
    ? judgeAnswer(settings, work, outcome, nowMs, random)
    : judgeFailure(settings, work, outcome, nowMs, random);
}

function judgeAnswer(
  settings: JudgeSettings,
  work: Work,
  answer: ProviderAnswer,
  nowMs: number,
  random: number,
): FinishedCall {
  const price = settings.answeredPrice(work, answer.modelVersion);
  const charge = price === null || answer.usageSuspect ? null : chargeNanoUsd(answer.usage, price);
  const nanoUsd = charge?.kind === "charged" ? charge.nanoUsd : null;
  const provider = { status: 200, code: null, requestId: answer.requestId };
  const bad = missedExpectation(work, answer);
  const tooLarge = answerTooLarge(answer.bodyText, settings.resultBytesMax, provider);
  const outcome = bad === null && tooLarge === null ? "succeeded" : "bad_answer";
  const attempt = summaryOf(work, outcome, answer.requestId, nowMs);
  const facts = factsOf(work, answer, { nanoUsd, priceVersion: price?.version ?? null }, attempt);
  const served = { bodyText: answer.bodyText, facts };
  const badAnswer = (message: string): Verdict => {
    const failure: FailureFacts = { ...BAD_ANSWER, message, provider };
    return followUp(settings, work, failure, served, nowMs, random);
  };
  return {
    execution: work.execution,
    attempt: work.intent,
    outcome,
    endedAtMs: nowMs,
    requestId: answer.requestId,
    modelVersion: answer.modelVersion,
    usage: answer.usage,
    priceVersion: facts.priceVersion,
    nanoUsd,
    summary: attempt,
    earlier: work.history,
    // Asking again or elsewhere would be paid again, and the answer would hardly be shorter.
    verdict:
      tooLarge !== null
        ? { kind: "fail", failure: tooLarge, answer: served }
        : bad !== null
          ? badAnswer(bad)
          : { kind: "succeed", answer: served },
  };
}

const BAD_ANSWER = { outcome: "bad_answer", sent: "answered", httpStatus: 200, retryAfterMs: null } as const;

/** What is stored beside an answer. `nanoUsd` null: its cost is not known, at most that of the attempt. */
function factsOf(
  work: Work,
  answer: Pick<ProviderAnswer, "finishReason" | "modelVersion" | "usage">,
  charge: { readonly nanoUsd: bigint | null; readonly priceVersion: string | null },
  attempt: AttemptSummary,
): AnswerFacts {
  const { nanoUsd } = charge;
  return {
    finishReason: answer.finishReason,
    provider: work.route.kind,
    account: work.route.account,
    model: work.route.model,
    modelVersion: answer.modelVersion,
    usage: answer.usage,
    nanoUsd: nanoUsd === null ? null : nanoUsd.toString(),
    maxNanoUsd: nanoUsd === null ? work.intent.maxNanoUsd.toString() : nanoUsd.toString(),
    listNanoUsd: listPrice(work, answer.usage, nanoUsd).toString(),
    priceVersion: charge.priceVersion ?? work.route.price.version,
    attempt,
    cacheable:
      nanoUsd !== null &&
      answer.finishReason !== "refusal" &&
      answer.finishReason !== "length" &&
      answer.finishReason !== "content_filter",
  };
}

/** The list price of the answer: direct, alone, uncached, on the first capable route. */
function listPrice(work: Work, usage: Usage, paid: bigint | null): bigint {
  const uncached: Usage = { ...usage, cachedInputTokens: 0, cacheWriteTokens: 0, cacheWrite1hTokens: 0 };
  const charge = chargeNanoUsd(uncached, work.firstPrice);
  return charge.kind === "charged" ? charge.nanoUsd : (paid ?? 0n);
}

function missedExpectation(work: Work, answer: ProviderAnswer): string | null {
  const { expect } = work.policy;
  if (expect.notEmpty && answer.empty && answer.finishReason !== "refusal")
    return "the answer is empty; the job expects text or a tool call";
  if (expect.complete && answer.finishReason === "length")
    return "the answer was cut at its output limit; the job expects a complete one";
  if (expect.jsonSchema && answer.finishReason !== "refusal" && missesJson(work, answer))
    return "the answer is not JSON; the job expects what its body asks for, JSON text";
  return null;
}

function missesJson(work: Work, answer: ProviderAnswer): boolean {
  return asksForJson(work.format, work.bodyText) && !answersInJson(work.format, answer.bodyText);
}

function judgeFailure(
  settings: JudgeSettings,
  work: Work,
  failure: ProviderFailure,
  nowMs: number,
  random: number,
): FinishedCall {
  if (failure.cutOffBytes !== undefined) return judgeCutOff(work, failure, failure.cutOffBytes, nowMs);
  return {
    execution: work.execution,
    attempt: work.intent,
    outcome: failure.outcome,
    endedAtMs: nowMs,
    requestId: failure.provider.requestId,
    modelVersion: null,
    usage: NO_USAGE,
    priceVersion: work.route.price.version,
    nanoUsd: 0n,
    summary: summaryOf(work, failure.outcome, failure.provider.requestId, nowMs),
    earlier: work.history,
    verdict: followUp(settings, work, { ...failure, httpStatus: failure.provider.status }, null, nowMs, random),
  };
}

/** An answer beyond the account's cap: billed as a whole without a doubt that could be looked up, and asked again it would be again. */
function judgeCutOff(work: Work, failure: ProviderFailure, cutOffBytes: number, nowMs: number): FinishedCall {
  const attempt = summaryOf(work, failure.outcome, failure.provider.requestId, nowMs);
  const answer = { finishReason: "other", modelVersion: null, usage: NO_USAGE } as const;
  const facts = factsOf(work, answer, { nanoUsd: null, priceVersion: null }, attempt);
  return {
    execution: work.execution,
    attempt: work.intent,
    outcome: failure.outcome,
    endedAtMs: nowMs,
    requestId: failure.provider.requestId,
    modelVersion: null,
    usage: NO_USAGE,
    priceVersion: facts.priceVersion,
    nanoUsd: null,
    summary: attempt,
    earlier: work.history,
    verdict: {
      kind: "fail",
      failure: answerCutOff(cutOffBytes, failure.provider),
      answer: { bodyText: "", facts },
    },
  };
}

/** The call as a doubt, with nothing of what it brought: for one whose outcome could not be judged. */
export function unjudgedCall(settings: JudgeSettings, work: Work, nowMs: number): FinishedCall {
  return {
    execution: work.execution,
    attempt: work.intent,
    outcome: "in_doubt",
    endedAtMs: nowMs,
    requestId: null,
    modelVersion: null,
    usage: NO_USAGE,
    priceVersion: work.route.price.version,
    nanoUsd: null,
    summary: summaryOf(work, "in_doubt", null, nowMs),
    earlier: work.history,
    verdict: { kind: "doubt", settleAtMs: nowMs + settings.graceMs(work.route.account) },
  };
}

interface FailureFacts {
  readonly outcome: Exclude<AttemptOutcome, "succeeded">;
  readonly sent: "no" | "perhaps" | "answered";
  readonly httpStatus: number | null;
  readonly retryAfterMs: number | null;
  readonly message: string;
  readonly provider: Failure["provider"];
}

function followUp(
  settings: JudgeSettings,
  work: Work,
  failure: FailureFacts,
  answer: ServedAnswer | null,
  nowMs: number,
  random: number,
): Verdict {
  const next = decideAfter(
    {
      outcome: failure.outcome,
      sent: failure.sent,
      httpStatus: failure.httpStatus,
      retryAfterMs: failure.retryAfterMs,
      attemptNumber: work.intent.number,
      routes: work.routes,
      routeIndex: work.intent.routeIndex,
      tried: [...work.history, { account: work.route.account, model: work.route.model }],
      nowMs,
      latestDeadlineMs: work.latestDeadlineMs,
      limits: settings.retry,
    },
    random,
  );
  switch (next.kind) {
    case "again":
      return {
        kind: "again",
        runAtMs: next.runAtMs,
        routeIndex: next.routeIndex,
        waitsFor: next.waitsFor ?? "concurrency",
      };
    case "doubt":
      return { kind: "doubt", settleAtMs: nowMs + settings.graceMs(work.route.account) };
    case "end":
      return {
        kind: "fail",
        failure: { code: next.code, message: failure.message, provider: failure.provider, retryAtMs: null },
        answer,
      };
  }
}

/** Loudest log level of a failed call, from the one table. */
export function logLevelOf(outcome: AttemptOutcome): "debug" | "info" | "warn" | "error" {
  return outcome === "succeeded" ? "debug" : FAILURE_POLICY[outcome].log;
}

function summaryOf(work: Work, outcome: AttemptOutcome, requestId: string | null, nowMs: number): AttemptSummary {
  return {
    number: work.intent.number,
    no: work.intent.no,
    provider: work.route.kind,
    account: work.route.account,
    model: work.route.model,
    mode: "direct",
    outcome,
    providerRequestId: requestId,
    startedAtMs: work.intent.startedAtMs,
    ms: nowMs - work.intent.startedAtMs,
    maxNanoUsd: work.intent.maxNanoUsd.toString(),
  };
}
