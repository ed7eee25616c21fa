import type { Batch } from "../../../domain/batch/batch.js";
import type { LineCounts } from "../../../domain/batch/life-group.js";
import type { LedgerKey, SessionNo } from "../../../domain/ids.js";
import type { Renderer } from "../../../domain/result/outgoing.js";
import type {
  AllowanceLimits,
  BatchChange,
  BatchLedger,
  BatchLine,
  BatchLoad,
  BoundLines,
  LineBinding,
  LineStart,
  NewBatch,
  OpenedBatch,
  PoolLoad,
  StoredCreate,
  Turnaround,
  WaitingLine,
} from "../../../ports/batch-ledger.js";
import type { FinishOutcome } from "../../../ports/ledger.js";
import type { LedgerContext } from "../ledger-context.js";
import { batchLoads, creates, turnarounds } from "./batch-history.js";
import { linesByAttempt, openLines } from "./batch-lines.js";
import { bindLines } from "./bind-lines.js";
import { expireBatched } from "./expire-batched.js";
import { holdAccount, openBatch } from "./open-batch.js";
import { pools, sweepPools, waitingLines } from "./pools.js";
import { returnLines } from "./return-lines.js";
import { claimBatches, saveBatch, takeFailed } from "./save-batch.js";
import { lineCounts, startLines } from "./start-lines.js";

/** The ledger's side of batches on PostgreSQL: one function a transaction, in the files beside this one. */
export class PostgresBatches implements BatchLedger {
  protected readonly context: LedgerContext;

  constructor(context: LedgerContext) {
    this.context = context;
  }

  sweepPools(session: SessionNo, nowMs: number, limit: number): Promise<number> {
    return sweepPools(this.context, session, nowMs, limit);
  }

  pools(): Promise<readonly PoolLoad[]> {
    return pools(this.context);
  }

  waitingLines(pool: string, limit: number): Promise<readonly WaitingLine[]> {
    return waitingLines(this.context, pool, limit);
  }

  openBatch(session: SessionNo, wanted: NewBatch, limits: AllowanceLimits): Promise<OpenedBatch> {
    return openBatch(this.context, session, wanted, limits);
  }

  bindLines(session: SessionNo, batchNo: number, lines: readonly LineBinding[], nowMs: number): Promise<BoundLines> {
    return bindLines(this.context, session, batchNo, lines, nowMs);
  }

  returnLines(
    session: SessionNo,
    batchNo: number,
    attempts: readonly LedgerKey[] | null,
    limit: number,
    nowMs: number,
  ): Promise<number> {
    return returnLines(this.context, { session, batchNo, attempts, limit, nowMs });
  }

  claimBatches(session: SessionNo, nowMs: number, limit: number): Promise<readonly Batch[]> {
    return claimBatches(this.context, session, nowMs, limit);
  }

  saveBatch(session: SessionNo, batch: Batch, also: BatchChange): Promise<Batch | null> {
    return saveBatch(this.context, session, batch, also);
  }

  takeFailed(session: SessionNo, batchNo: number): Promise<Batch | null> {
    return takeFailed(this.context, session, batchNo);
  }

  openLines(batchNo: number, after: number, limit: number): Promise<readonly BatchLine[]> {
    return openLines(this.context, batchNo, after, limit);
  }

  linesByAttempt(batchNo: number, attempts: readonly LedgerKey[]): Promise<readonly BatchLine[]> {
    return linesByAttempt(this.context, batchNo, attempts);
  }

  startLines(session: SessionNo, batchNo: number, starts: readonly LineStart[]): Promise<ReadonlySet<number>> {
    return startLines(this.context, session, batchNo, starts);
  }

  lineCounts(batchNo: number): Promise<LineCounts> {
    return lineCounts(this.context, batchNo);
  }

  expireBatched(session: SessionNo, nowMs: number, limit: number, render: Renderer): Promise<FinishOutcome> {
    return expireBatched(this.context, session, nowMs, limit, render);
  }

  turnarounds(sinceMs: number, limit: number): Promise<readonly Turnaround[]> {
    return turnarounds(this.context, sinceMs, limit);
  }

  batchLoads(): Promise<readonly BatchLoad[]> {
    return batchLoads(this.context);
  }

  creates(account: string, sinceMs: number): Promise<readonly StoredCreate[]> {
    return creates(this.context, account, sinceMs);
  }

  holdAccount(account: string, tokensMax: number | null, untilMs: number): Promise<void> {
    return holdAccount(this.context, account, tokensMax, untilMs);
  }
}
