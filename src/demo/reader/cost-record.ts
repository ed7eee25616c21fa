import { moneyField, numberField, parseObject, textField, timeField } from "./json-fields.js";
import type { TopicRecord } from "./topic-record.js";

/** What the reader needs of a cost record. */
export interface CostRecord {
  readonly record: TopicRecord;
  readonly costId: string;
  readonly kind: string;
  readonly correctsCostId: string | null;
  readonly billing: string;
  readonly tenant: string;
  readonly jobId: string | null;
  readonly generation: number | null;
  readonly executionId: string | null;
  readonly attemptId: string | null;
  /** Of a record that paid nothing itself: the one that did. */
  readonly paidByCostId: string | null;
  readonly account: string | null;
  readonly model: string | null;
  readonly mode: string | null;
  readonly batchId: string | null;
  readonly providerBatchId: string | null;
  readonly inputTokens: number | null;
  readonly cachedInputTokens: number | null;
  /** The short-lived ones alone. */
  readonly cacheWriteTokens: number | null;
  readonly cacheWrite1hTokens: number | null;
  readonly outputTokens: number | null;
  readonly nanoUsd: bigint | null;
  readonly maxNanoUsd: bigint | null;
  readonly listNanoUsd: bigint;
  readonly atMs: number | null;
}

/** Null when the value is not JSON or lacks what every cost record has. */
export function parseCost(record: TopicRecord): CostRecord | null {
  const value = record.value === null ? null : parseObject(record.value.toString("utf8"));
  if (value === null) return null;
  const costId = textField(value, "costId");
  const kind = textField(value, "kind");
  const billing = textField(value, "billing");
  const tenant = textField(value, "tenant");
  if (costId === null || kind === null || billing === null || tenant === null) return null;
  return {
    record,
    costId,
    kind,
    correctsCostId: textField(value, "correctsCostId"),
    billing,
    tenant,
    jobId: textField(value, "jobId"),
    generation: numberField(value, "generation"),
    executionId: textField(value, "executionId"),
    attemptId: textField(value, "attemptId"),
    paidByCostId: textField(value, "paidByCostId"),
    account: textField(value, "account"),
    model: textField(value, "model"),
    mode: textField(value, "mode"),
    batchId: textField(value, "batchId"),
    providerBatchId: textField(value, "providerBatchId"),
    inputTokens: numberField(value, "inputTokens"),
    cachedInputTokens: numberField(value, "cachedInputTokens"),
    cacheWriteTokens: numberField(value, "cacheWriteTokens"),
    cacheWrite1hTokens: numberField(value, "cacheWrite1hTokens"),
    outputTokens: numberField(value, "outputTokens"),
    nanoUsd: moneyField(value, "nanoUsd"),
    maxNanoUsd: moneyField(value, "maxNanoUsd"),
    listNanoUsd: moneyField(value, "listNanoUsd") ?? 0n,
    atMs: timeField(value, "at"),
  };
}
