import { batchId } from "../batch/batch.js";
import type { AnswerFacts, AttemptSummary } from "../execution/execution.js";
import type { LedgerKey } from "../ids.js";
import { NO_USAGE, type Usage } from "../cost/usage.js";
import { attemptId, costId } from "../job/ids.js";
import { iso } from "./rendering.js";

/** A cost record as it is published: flat, append-only (contract.md, "Cost record"). Amounts are decimal text. */
export interface CostRecord {
  readonly costId: string;
  readonly kind: "charge" | "adjustment";
  readonly correctsCostId: string | null;
  readonly purpose: "job";
  readonly billing: "charged" | "shared" | "cached" | "waste" | "in_doubt" | "suspect";
  readonly tenant: string;
  readonly department: string | null;
  readonly application: string | null;
  readonly labelsJson: string | null;
  readonly jobId: string | null;
  readonly generation: number | null;
  readonly resultId: string | null;
  readonly executionId: string | null;
  readonly attemptId: string | null;
  readonly paidByCostId: string | null;
  readonly provider: string;
  readonly account: string;
  readonly model: string;
  readonly modelVersion: string | null;
  readonly mode: "direct" | "batch";
  /** Of the attempt that answered, also where another job paid for it; null: a call of its own. */
  readonly batchId: string | null;
  /** On the record of the charge itself. */
  readonly providerBatchId: string | null;
  readonly providerRequestId: string | null;
  readonly inputTokens: number | null;
  readonly cachedInputTokens: number | null;
  readonly cacheWriteTokens: number | null;
  readonly cacheWrite1hTokens: number | null;
  readonly outputTokens: number | null;
  readonly reasoningTokens: number | null;
  readonly priceVersion: string;
  readonly nanoUsd: string | null;
  readonly maxNanoUsd: string;
  readonly listNanoUsd: string;
  readonly at: string;
}

/** Id of an attempt's one charge. */
export function chargeId(attemptNo: number): string {
  return costId("charge", String(attemptNo));
}

/** Id of the zero record of a job that was served without a call of its own. */
export function zeroId(jobNo: number): string {
  return costId("zero", String(jobNo));
}

export function adjustmentId(no: number): string {
  return costId("adjustment", String(no));
}

/** What a record says of the job that it is about. */
export interface CostSubject {
  readonly tenant: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly jobId: string | null;
  readonly generation: number | null;
  readonly resultId: string | null;
  readonly execution: LedgerKey | null;
}

export function subjectFields(
  subject: CostSubject,
): Pick<
  CostRecord,
  "tenant" | "department" | "application" | "labelsJson" | "jobId" | "generation" | "resultId" | "executionId"
> {
  return {
    tenant: subject.tenant,
    ...labelFields(subject.labels),
    jobId: subject.jobId,
    generation: subject.generation,
    resultId: subject.resultId,
    executionId: subject.execution === null ? null : attemptId(subject.execution.day, subject.execution.no),
  };
}

/** A job's labels in a flat record: two are columns, and all are JSON text. */
export function labelFields(
  labels: Readonly<Record<string, string>>,
): Pick<CostRecord, "department" | "application" | "labelsJson"> {
  return {
    department: labels["department"] ?? null,
    application: labels["application"] ?? null,
    labelsJson: Object.keys(labels).length === 0 ? null : JSON.stringify(labels),
  };
}

export function usageFields(usage: Usage): Usage {
  return {
    inputTokens: usage.inputTokens,
    cachedInputTokens: usage.cachedInputTokens,
    cacheWriteTokens: usage.cacheWriteTokens,
    cacheWrite1hTokens: usage.cacheWrite1hTokens,
    outputTokens: usage.outputTokens,
    reasoningTokens: usage.reasoningTokens,
  };
}

/** How an attempt was made, in the words of records. */
export function modeFields({
  mode,
  batch,
}: Pick<AttemptSummary, "mode" | "batch">): Pick<CostRecord, "mode" | "batchId"> {
  return { mode, batchId: batch === undefined ? null : batchId(batch.no) };
}

/** The record of a job that an answer served. `billing` says how: by its own call, a shared one, or the cache. */
export function servedCost(input: {
  readonly billing: "charged" | "shared" | "cached";
  readonly subject: CostSubject;
  readonly jobNo: number;
  readonly facts: AnswerFacts;
  readonly atMs: number;
}): CostRecord {
  const { facts, billing, subject } = input;
  const own = billing === "charged";
  const attempt = facts.attempt;
  return {
    costId: own ? chargeId(attempt.no) : zeroId(input.jobNo),
    kind: "charge",
    correctsCostId: null,
    purpose: "job",
    billing: own && facts.nanoUsd === null ? "suspect" : billing,
    ...subjectFields(subject),
    attemptId: own && subject.execution !== null ? attemptId(subject.execution.day, attempt.no) : null,
    paidByCostId: own ? null : chargeId(attempt.no),
    provider: facts.provider,
    account: facts.account,
    model: facts.model,
    modelVersion: facts.modelVersion,
    ...modeFields(attempt),
    providerBatchId: own ? (attempt.batch?.providerBatchId ?? null) : null,
    providerRequestId: own ? attempt.providerRequestId : null,
    ...(own ? usageFields(facts.usage) : NO_USAGE),
    priceVersion: facts.priceVersion,
    nanoUsd: own ? facts.nanoUsd : "0",
    maxNanoUsd: own ? facts.maxNanoUsd : "0",
    listNanoUsd: facts.listNanoUsd,
    at: iso(input.atMs),
  };
}
