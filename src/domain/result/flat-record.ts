import { labelFields, type CostRecord } from "./cost-record.js";
import type { EventDocument } from "./event-document.js";
import type { FlatRecord } from "./rendering.js";
import type { ResultDocument } from "./result-document.js";

/** @param bodyText the answer as JSON text, as the provider sent it. */
export function flatResult(document: ResultDocument, bodyText: string | null): FlatRecord {
  const { error, usage, cost, times } = document;
  return {
    v: document.v,
    resultId: document.resultId,
    jobId: document.jobId,
    tenant: document.tenant,
    generation: document.generation,
    status: document.status,
    format: document.format,
    bodyJson: bodyText,
    finishReason: document.finishReason,
    errorCode: error?.code ?? null,
    errorClass: error?.class ?? null,
    errorMessage: error?.message ?? null,
    errorReplayable: error?.replayable ?? null,
    errorRetryAt: msOf(error?.retryAt),
    errorProviderStatus: error?.provider?.status ?? null,
    errorProviderCode: error?.provider?.code ?? null,
    errorProviderRequestId: error?.provider?.requestId ?? null,
    provider: document.provider ?? null,
    model: document.model ?? null,
    modelVersion: document.modelVersion ?? null,
    mode: document.mode ?? null,
    batchId: document.batchId ?? null,
    served: document.served ?? null,
    requestHash: document.requestHash ?? null,
    executionId: document.executionId ?? null,
    tier: document.tier ?? null,
    attemptsJson: JSON.stringify(document.attempts),
    decisionJson: jsonOf(document.decision),
    inputTokens: usage?.inputTokens ?? null,
    cachedInputTokens: usage?.cachedInputTokens ?? null,
    cacheWriteTokens: usage?.cacheWriteTokens ?? null,
    cacheWrite1hTokens: usage?.cacheWrite1hTokens ?? null,
    outputTokens: usage?.outputTokens ?? null,
    reasoningTokens: usage?.reasoningTokens ?? null,
    nanoUsd: cost.nanoUsd === null ? null : BigInt(cost.nanoUsd),
    maxNanoUsd: BigInt(cost.maxNanoUsd),
    listNanoUsd: BigInt(cost.listNanoUsd),
    priceVersion: cost.priceVersion,
    billing: cost.billing,
    costId: cost.costId,
    submittedAt: Date.parse(times.submittedAt),
    acceptedAt: msOf(times.acceptedAt),
    startedAt: msOf(times.startedAt),
    finishedAt: Date.parse(times.finishedAt),
    deadline: msOf(times.deadline),
    ...labelFields(document.labels),
  };
}

/** A cost record is flat already; only amounts and its time are text in JSON. */
export function flatCost(record: CostRecord): FlatRecord {
  return {
    ...record,
    nanoUsd: record.nanoUsd === null ? null : BigInt(record.nanoUsd),
    maxNanoUsd: BigInt(record.maxNanoUsd),
    listNanoUsd: BigInt(record.listNanoUsd),
    at: Date.parse(record.at),
  };
}

/** An event is flat already; only its time is text in JSON. */
export function flatEvent(document: EventDocument): FlatRecord {
  return { ...document, at: Date.parse(document.at) };
}

function msOf(time: string | null | undefined): number | null {
  return time === null || time === undefined ? null : Date.parse(time);
}

function jsonOf(value: object | null | undefined): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value);
}
