import type { AnswerFacts, AttemptSummary, Verdict } from "../../domain/execution/execution.js";
import { FAILURE_POLICY, type AttemptOutcome, type Failure } from "../../domain/failure.js";
import { answersInJson, asksForJson } from "../../domain/job/expected-json.js";
import { chargeNanoUsd } from "../../domain/cost/charge.js";
import type { ModelPrice } from "../../domain/cost/price.js";
import { NO_USAGE, type Usage } from "../../domain/cost/usage.js";
import { decideAfter, type RetryLimits } from "../../domain/route/next-attempt.js";
import type { FinishedCall } from "../../ports/ledger.js";
import type { ProviderAnswer, ProviderFailure } from "../../ports/provider.js";
import type { Work } from "./work.js";

export interface JudgeSettings {
  readonly retry: RetryLimits;
  readonly graceMs: (account: string) => number;
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
  const bad = missedExpectation(work, answer);
  const attempt = summaryOf(work, bad === null ? "succeeded" : "bad_answer", answer.requestId, nowMs);
  const facts: AnswerFacts = {
    finishReason: answer.finishReason,
    provider: work.route.kind,
    account: work.route.account,
    model: work.route.model,
    modelVersion: answer.modelVersion,
    usage: answer.usage,
    nanoUsd: nanoUsd === null ? null : nanoUsd.toString(),
    maxNanoUsd: nanoUsd === null ? work.intent.maxNanoUsd.toString() : nanoUsd.toString(),
    listNanoUsd: listPrice(work, answer.usage, nanoUsd).toString(),
    priceVersion: price?.version ?? work.route.price.version,
    attempt,
    cacheable:
      nanoUsd !== null &&
      answer.finishReason !== "refusal" &&
      answer.finishReason !== "length" &&
      answer.finishReason !== "content_filter",
  };
  const verdict: Verdict =
    bad === null
      ? { kind: "succeed", answer: { bodyText: answer.bodyText, facts } }
      : followUp(
          settings,
          work,
          {
            outcome: "bad_answer",
            sent: "answered",
            httpStatus: 200,
            retryAfterMs: null,
            message: bad,
            provider: { status: 200, code: null, requestId: answer.requestId },
          },
          nowMs,
          random,
        );
  return {
    execution: work.execution,
    attempt: work.intent,
    outcome: bad === null ? "succeeded" : "bad_answer",
    endedAtMs: nowMs,
    requestId: answer.requestId,
    modelVersion: answer.modelVersion,
    usage: answer.usage,
    priceVersion: facts.priceVersion,
    nanoUsd,
    summary: attempt,
    earlier: work.history,
    verdict,
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
    verdict: followUp(settings, work, { ...failure, httpStatus: failure.provider.status }, nowMs, random),
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

function followUp(settings: JudgeSettings, work: Work, failure: FailureFacts, nowMs: number, random: number): Verdict {
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
