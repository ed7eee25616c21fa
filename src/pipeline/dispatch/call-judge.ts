import type { AnswerFacts, AttemptSummary, ServedAnswer, TryAgain, Verdict } from "../../domain/execution/execution.js";
import {
  FAILURE_POLICY,
  faultOf,
  type AttemptOutcome,
  type Failure,
  type ProviderError,
} from "../../domain/failure.js";
import { chargeBy, type BillingRule } from "../../domain/cost/billing-rule.js";
import { chargeNanoUsd } from "../../domain/cost/charge.js";
import { NO_USAGE, type Usage } from "../../domain/cost/usage.js";
import { answerCutOff, answerTooLarge } from "../../domain/result/result-size.js";
import type { AnsweredBy } from "../../domain/route/catalog.js";
import { decideAfter, type NextAttempt, type RetryLimits } from "../../domain/route/next-attempt.js";
import type { ModelPrice } from "../../domain/cost/price.js";
import type { FinishedCall } from "../../ports/ledger.js";
import type { ProviderAnswer, ProviderFailure } from "../../ports/provider.js";
import type { CheckSchema } from "../../ports/schema-check.js";
import { missedExpectation, type Missed } from "./expectation.js";
import type { Work } from "./work.js";

export interface JudgeSettings {
  readonly retry: RetryLimits;
  readonly graceMs: (account: string) => number;
  /** Longest value of a result record. */
  readonly resultBytesMax: number;
  /** The price of the model that answered, and whether it is the one that was asked. */
  readonly answeredBy: (work: Work, modelVersion: string | null) => AnsweredBy;
  /** What the account's provider charges for; null: the account is no longer in the config. */
  readonly billing: (account: string) => BillingRule | null;
  readonly checkSchema: CheckSchema;
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
  const { price, otherModel } = settings.answeredBy(work, answer.modelVersion);
  const nanoUsd = price === null ? null : chargeOf(settings.billing(work.route.account), answer, price);
  const provider = { status: 200, code: null, requestId: answer.requestId };
  const missed = missedExpectation(work, answer, settings.checkSchema);
  const tooLarge = answerTooLarge(answer.bodyText, settings.resultBytesMax, provider);
  const outcome = missed?.outcome ?? (tooLarge === null ? "succeeded" : "bad_answer");
  const attempt = summaryOf(work, outcome, provider, nowMs);
  const facts = factsOf(work, answer, { nanoUsd, priceVersion: price?.version ?? null }, attempt);
  const served = { bodyText: answer.bodyText, facts };
  const failed = (miss: Missed): Verdict =>
    followUp(settings, work, { ...ANSWERED, ...miss, provider }, served, nowMs, random);
  return finishedCall(work, attempt, nowMs, {
    modelVersion: answer.modelVersion,
    ...(otherModel ? { otherModel } : {}),
    usage: answer.usage,
    priceVersion: facts.priceVersion,
    nanoUsd,
    // Asking again or elsewhere would be paid again, and the answer would hardly be shorter.
    verdict:
      tooLarge !== null
        ? { kind: "fail", failure: tooLarge, answer: served, givenTime: null }
        : missed !== null
          ? failed(missed)
          : { kind: "succeed", answer: served },
  });
}

/** What differs between calls of one attempt by how they ended. */
type CallEnd = Pick<FinishedCall, "modelVersion" | "otherModel" | "usage" | "priceVersion" | "nanoUsd" | "verdict">;

function finishedCall(work: Work, attempt: AttemptSummary, nowMs: number, end: CallEnd): FinishedCall {
  return {
    execution: work.execution,
    attempt: work.intent,
    outcome: attempt.outcome,
    endedAtMs: nowMs,
    requestId: attempt.providerRequestId,
    summary: attempt,
    earlier: work.history,
    ...end,
  };
}

/** What a call without a usable answer is booked with. @param nanoUsd null: nobody knows. */
function withoutAnswer(work: Work, nanoUsd: bigint | null): Omit<CallEnd, "verdict"> {
  return { modelVersion: null, usage: NO_USAGE, priceVersion: work.route.price.version, nanoUsd };
}

const ANSWERED = { sent: "answered", httpStatus: 200, retryAfterMs: null } as const;
const REFUSED_BY_FILTER: ReadonlySet<string> = new Set(["refusal", "content_filter"]);

/** Null: not known, so at most the bound of the attempt. An account that left the config is charged by what was used. */
function chargeOf(rule: BillingRule | null, answer: ProviderAnswer, price: ModelPrice): bigint | null {
  if (answer.usageSuspect) return null;
  const billed = REFUSED_BY_FILTER.has(answer.finishReason) ? (rule?.refused ?? "by_usage") : "by_usage";
  const charge = chargeBy(billed, answer.usage, price);
  return charge.kind === "charged" ? charge.nanoUsd : null;
}

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
    listNanoUsd: listPrice(work.firstPrice, answer.usage, nanoUsd).toString(),
    ...(work.intent.routeIndex === 0
      ? {}
      : { routeListNanoUsd: listPrice(work.callPrice ?? work.route.price, answer.usage, nanoUsd).toString() }),
    priceVersion: charge.priceVersion ?? work.route.price.version,
    attempt,
    ...(work.decision === undefined ? {} : { decision: work.decision }),
    cacheable:
      nanoUsd !== null &&
      answer.finishReason !== "refusal" &&
      answer.finishReason !== "length" &&
      answer.finishReason !== "content_filter",
  };
}

/** The list price of the answer: direct, alone, uncached. @param price of the first capable route, or of the one that answered. */
function listPrice(price: ModelPrice, usage: Usage, paid: bigint | null): bigint {
  const uncached: Usage = { ...usage, cachedInputTokens: 0, cacheWriteTokens: 0, cacheWrite1hTokens: 0 };
  const charge = chargeNanoUsd(uncached, price);
  return charge.kind === "charged" ? charge.nanoUsd : (paid ?? 0n);
}

function judgeFailure(
  settings: JudgeSettings,
  work: Work,
  failure: ProviderFailure,
  nowMs: number,
  random: number,
): FinishedCall {
  if (failure.cutOffBytes !== undefined) return judgeCutOff(work, failure, failure.cutOffBytes, nowMs);
  const attempt = summaryOf(work, failure.outcome, failure.provider, nowMs);
  const facts = { ...failure, httpStatus: failure.provider.status };
  const verdict = followUp(settings, work, facts, null, nowMs, random);
  const nanoUsd = costOfFailure(settings.billing(work.route.account), work, failure);
  return finishedCall(work, attempt, nowMs, { ...withoutAnswer(work, nanoUsd), verdict });
}

/** What an error status costs by the provider's rule; without one nothing is known to be billed. What was perhaps sent costs nobody knows what. */
function costOfFailure(rule: BillingRule | null, work: Work, failure: ProviderFailure): bigint | null {
  if (failure.sent === "perhaps") return null;
  if (failure.sent === "no" || rule === null) return 0n;
  const charge = chargeBy(rule.error, NO_USAGE, work.route.price);
  return charge.kind === "charged" ? charge.nanoUsd : null;
}

/** An answer beyond the account's cap: billed as a whole without a doubt that could be looked up, and asked again it would be again. */
function judgeCutOff(work: Work, failure: ProviderFailure, cutOffBytes: number, nowMs: number): FinishedCall {
  const attempt = summaryOf(work, failure.outcome, failure.provider, nowMs);
  const answer = { finishReason: "other", modelVersion: null, usage: NO_USAGE } as const;
  const facts = factsOf(work, answer, { nanoUsd: null, priceVersion: null }, attempt);
  const cutOff = answerCutOff(cutOffBytes, failure.provider);
  return finishedCall(work, attempt, nowMs, {
    ...withoutAnswer(work, null),
    verdict: { kind: "fail", failure: cutOff, answer: { bodyText: "", facts }, givenTime: null },
  });
}

/** What became of a line of a batch: an answer as a call would have brought it, or why there is none. */
export type LineEnd = ProviderAnswer | FailedLine;

export interface FailedLine {
  readonly kind: "failed";
  readonly outcome: Exclude<AttemptOutcome, "succeeded">;
  readonly message: string;
  readonly provider: ProviderError;
  /** `by_rule`: as the account's provider has it for lines that end so; `nothing`: it never ran; `perhaps`: nobody knows. */
  readonly billed: "by_rule" | "nothing" | "perhaps";
  readonly cutOffBytes?: number;
  /** Only there when true: it was answered, and the provider has the answer no more. Asking again would be paid again. */
  readonly lost?: boolean;
}

/** The same for a line of a batch. Its outcome is final: a line is never in doubt. */
export function judgeLine(
  settings: JudgeSettings,
  work: Work,
  end: LineEnd,
  nowMs: number,
  random: number,
): FinishedCall {
  if (end.kind === "answered") return judgeAnswer(settings, work, end, nowMs, random);
  const failure: ProviderFailure = { ...end, kind: "failed", sent: "answered", retryAfterMs: null };
  if (end.cutOffBytes !== undefined) return judgeCutOff(work, failure, end.cutOffBytes, nowMs);
  const attempt = summaryOf(work, end.outcome, end.provider, nowMs);
  const nanoUsd = costOfLine(settings.billing(work.route.account), end);
  const facts = { ...failure, sent: "no", httpStatus: end.provider.status, lost: end.lost === true } as const;
  const verdict = followUp(settings, work, facts, null, nowMs, random);
  return finishedCall(work, attempt, nowMs, { ...withoutAnswer(work, nanoUsd), verdict });
}

function costOfLine(rule: BillingRule | null, { outcome, billed }: FailedLine): bigint | null {
  if (billed === "nothing") return 0n;
  if (billed === "perhaps" || rule === null) return null;
  const { failed, expired, cancelled } = rule.line;
  const booked = outcome === "line_expired" ? expired : outcome === "cancelled" ? cancelled : failed;
  return booked === "free" ? 0n : null;
}

/** The call as a doubt, with nothing of what it brought: for one whose outcome could not be judged. */
export function unjudgedCall(settings: JudgeSettings, work: Work, nowMs: number): FinishedCall {
  const attempt = summaryOf(work, "in_doubt", null, nowMs);
  const settleAtMs = nowMs + settings.graceMs(work.route.account);
  return finishedCall(work, attempt, nowMs, { ...withoutAnswer(work, null), verdict: { kind: "doubt", settleAtMs } });
}

interface FailureFacts {
  readonly outcome: Exclude<AttemptOutcome, "succeeded">;
  readonly sent: "no" | "perhaps" | "answered";
  readonly httpStatus: number | null;
  readonly retryAfterMs: number | null;
  readonly message: string;
  readonly provider: Failure["provider"];
  readonly lost?: boolean;
}

function followUp(
  settings: JudgeSettings,
  work: Work,
  failure: FailureFacts,
  answer: ServedAnswer | null,
  nowMs: number,
  random: number,
): Verdict {
  const facts = {
    outcome: failure.outcome,
    sent: failure.sent,
    httpStatus: failure.httpStatus,
    retryAfterMs: failure.retryAfterMs,
    lost: failure.lost === true,
    attemptNumber: work.intent.number,
    routes: work.routes,
    routeIndex: work.intent.routeIndex,
    tried: [...work.history, { account: work.route.account, model: work.route.model }],
    nowMs,
    latestDeadlineMs: work.latestDeadlineMs,
    limits: settings.retry,
  };
  const next = decideAfter(facts, random);
  if (next.kind === "again") return tryAgain(next);
  if (next.kind === "doubt") return { kind: "doubt", settleAtMs: nowMs + settings.graceMs(work.route.account) };
  // A job that joined since may have more time; the ledger knows.
  const later = decideAfter({ ...facts, latestDeadlineMs: Number.POSITIVE_INFINITY }, random);
  // What the provider asks for, also beyond what this gateway would wait: whoever replays the job waits for himself.
  const retryAtMs = failure.retryAfterMs === null ? null : nowMs + failure.retryAfterMs;
  return {
    kind: "fail",
    failure: { code: next.code, message: failure.message, provider: failure.provider, retryAtMs },
    answer,
    givenTime: later.kind === "again" ? tryAgain(later) : null,
  };
}

function tryAgain({ runAtMs, routeIndex, waitsFor }: Extract<NextAttempt, { readonly kind: "again" }>): TryAgain {
  return { kind: "again", runAtMs, routeIndex, waitsFor: waitsFor ?? "concurrency" };
}

/** Loudest log level of a failed call, from the one table. */
export function logLevelOf(outcome: AttemptOutcome): "debug" | "info" | "warn" | "error" {
  return outcome === "succeeded" ? "debug" : FAILURE_POLICY[outcome].log;
}

/** What the outcome alone would lay at the account's door. */
function isOfOneModel(outcome: AttemptOutcome, httpStatus: number | null): boolean {
  if (outcome === "succeeded" || FAILURE_POLICY[outcome].of === "model") return false;
  return faultOf(outcome, httpStatus) === "model";
}

function summaryOf(work: Work, outcome: AttemptOutcome, provider: ProviderError | null, nowMs: number): AttemptSummary {
  return {
    number: work.intent.number,
    no: work.intent.no,
    provider: work.route.kind,
    account: work.route.account,
    model: work.route.model,
    ...(work.batch === undefined ? { mode: "direct" } : { mode: "batch", batch: work.batch }),
    outcome,
    ...(isOfOneModel(outcome, provider?.status ?? null) ? { faultOf: "model" } : {}),
    providerRequestId: provider?.requestId ?? null,
    startedAtMs: work.intent.startedAtMs,
    ms: nowMs - work.intent.startedAtMs,
    maxNanoUsd: work.intent.maxNanoUsd.toString(),
  };
}
