import { batchId, type Batch } from "../../domain/batch/batch.js";
import { batchProgress, type BatchProgress } from "../../domain/batch/progress.js";
import { attemptId } from "../../domain/job/ids.js";
import {
  batchLines,
  createsOf,
  newestBatches,
  type BatchFilter,
  type BatchRow,
  type CreateLine,
  type LineRow,
} from "../../adapters/postgres/operator/batch-rows.js";
import { askBatchCancel } from "../../adapters/postgres/operator/cancel-batch.js";
import type { CancelMeaning } from "../../domain/batch/progress.js";
import type { Operator } from "./open-operator.js";

/** A batch as `batches ls` tells it. Times in milliseconds since 1970; null: not so far. */
export interface BatchSummary extends BatchProgress {
  readonly batchId: string;
  readonly account: string;
  readonly provider: string;
  readonly model: string | null;
  readonly state: Batch["state"];
  readonly lines: number;
  readonly createdMs: number;
  /** Until its lines had their outcomes, or it failed; else until now. */
  readonly ageMs: number;
  readonly expectedMs: number | null;
  readonly providerBatchId: string | null;
  readonly trouble: string | null;
}

export function summaryOf({ batch }: BatchRow, nowMs: number): BatchSummary {
  const isOver = batch.state === "done" || batch.state === "failed";
  return {
    batchId: batchId(batch.no),
    account: batch.account,
    provider: batch.provider,
    model: batch.model,
    state: batch.state,
    lines: batch.lines,
    ...batchProgress(batch),
    createdMs: batch.createdAtMs,
    ageMs: Math.max(0, (isOver ? (batch.doneAtMs ?? batch.endedAtMs ?? nowMs) : nowMs) - batch.createdAtMs),
    expectedMs: batch.expectedAtMs,
    providerBatchId: batch.providerBatchId,
    trouble: batch.trouble,
  };
}

export interface BatchList {
  readonly batches: readonly BatchSummary[];
  readonly more: number;
}

export async function listBatches(operator: Operator, filter: BatchFilter): Promise<BatchList> {
  const { batches, more } = await newestBatches(operator.pools.durable, filter);
  const nowMs = operator.nowMs();
  return { batches: batches.map((row) => summaryOf(row, nowMs)), more };
}

/** All of a batch, with a page of its lines. */
export interface BatchView {
  readonly summary: BatchSummary;
  readonly row: BatchRow;
  readonly creates: readonly CreateLine[];
  readonly lines: readonly BatchLineView[];
}

export interface BatchLineView extends Omit<LineRow, "attempt" | "execution"> {
  readonly attemptId: string;
  readonly executionId: string;
}

export interface LinesPage {
  /** Places up to here are left out. */
  readonly after: number;
  readonly limit: number;
}

export async function viewBatch(operator: Operator, row: BatchRow, page: LinesPage): Promise<BatchView> {
  const pool = operator.pools.durable;
  const { no } = row.batch;
  const [creates, lines] = await Promise.all([
    createsOf(pool, no),
    page.limit === 0 ? [] : batchLines(pool, no, page.after, page.limit),
  ]);
  return {
    summary: summaryOf(row, operator.nowMs()),
    row,
    creates,
    lines: lines.map(({ attempt, execution, ...line }) => ({
      ...line,
      attemptId: attemptId(attempt.day, attempt.no),
      executionId: attemptId(execution.day, execution.no),
    })),
  };
}

/** Asks for a batch's end. @returns what that meant; null: the batch is gone. */
export async function cancelBatch(operator: Operator, batchNo: number): Promise<CancelMeaning | null> {
  const action = { byWhom: operator.byWhom, atMs: operator.nowMs() };
  const session = await operator.session();
  return askBatchCancel(operator.context, { batchNo, session, action }, await operator.render());
}
