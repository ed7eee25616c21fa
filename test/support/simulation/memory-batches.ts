import { LIVE_BATCH_STATES, newBatch, type Batch, type BatchState } from "../../../src/domain/batch/batch.js";
import type { EpochMs } from "../../../src/domain/ids.js";
import type {
  AllowanceLimits,
  BatchChange,
  BatchLoad,
  NewBatch,
  OpenedBatch,
  StoredCreate,
  Turnaround,
} from "../../../src/ports/batch-ledger.js";
import type { MemoryContext } from "./memory-context.js";
import { LedgerRefused, type Transaction } from "./memory-database.js";
import type { BatchAccountRow, BatchRow } from "./memory-rows.js";

/** Batches as rows, statement by statement as in the real ledger. */

const BEFORE_ANSWER: readonly BatchState[] = ["building", "sealed", "uploading", "uploaded", "creating"];
const LIVE: readonly BatchState[] = LIVE_BATCH_STATES;

/** Holds a session's row for a transaction. @returns whether it was declared dead or has ended. */
export async function fenced(context: MemoryContext, transaction: Transaction, session: number): Promise<boolean> {
  const { routers } = context.database;
  await context.statement(transaction, "session-fence");
  await transaction.lock(routers, [session], "share");
  return transaction.get(routers, session)?.endedMs !== null;
}

export function openBatch(
  context: MemoryContext,
  session: number,
  wanted: NewBatch,
  limits: AllowanceLimits,
): Promise<OpenedBatch> {
  const { batches, batchAccounts } = context.database;
  return context.transaction(
    "batch-open",
    async (transaction): Promise<OpenedBatch> => {
      if (await fenced(context, transaction, session)) return { kind: "fenced" };
      await context.statement(transaction, "batch-account-lock");
      await transaction.lock(batchAccounts, [wanted.account], "exclusive");
      const account = transaction.get(batchAccounts, wanted.account) ?? NO_HOLD;
      await context.statement(transaction, "batch-account-load");
      const of = transaction.all(batches).filter(({ batch }) => batch.account === wanted.account);
      const full = fullness(of, wanted, limits, heldBy(account, wanted.createdAtMs));
      if (full !== null) return full;
      await context.statement(transaction, "batch-insert");
      const batch = newBatch(wanted);
      transaction.insert(batches, batch.no, { batch, session, nearestDeadlineMs: null });
      return { kind: "opened", batch };
    },
    (outcome) =>
      context.single("batch-known", (transaction) =>
        transaction.get(batches, wanted.no) === undefined && outcome.kind === "opened" ? null : outcome,
      ),
  );
}

const NO_HOLD: BatchAccountRow = { tokensMax: null, holdUntilMs: 0 };

function heldBy(row: BatchAccountRow, nowMs: EpochMs): BatchAccountRow | null {
  return row.tokensMax !== null && row.holdUntilMs > nowMs ? row : null;
}

function fullness(
  rows: readonly BatchRow[],
  wanted: NewBatch,
  limits: AllowanceLimits,
  hold: BatchAccountRow | null,
): Extract<OpenedBatch, { readonly kind: "full" }> | null {
  const live = rows.map(({ batch }) => batch).filter(({ state }) => LIVE.includes(state));
  const full = (limit: "queued_lines" | "open_batches" | "one_at_a_time") =>
    ({ kind: "full", limit, tokensLeft: null, retryAtMs: null }) as const;
  if (limits.oneAtATime && live.some(({ state }) => BEFORE_ANSWER.includes(state))) return full("one_at_a_time");
  if (limits.openBatchesMax !== null && live.length >= limits.openBatchesMax) return full("open_batches");
  const lines = live.reduce((sum, batch) => sum + batch.lines, wanted.lines);
  if (limits.linesMax !== null && lines > limits.linesMax) return full("queued_lines");
  const tokens = live.reduce((sum, batch) => sum + batch.tokens, 0);
  const held = hold?.tokensMax ?? Infinity;
  const tokensMax = Math.min(limits.tokensMax ?? Infinity, held);
  if (tokens + wanted.tokens <= tokensMax) return null;
  const retryAtMs = hold !== null && held < (limits.tokensMax ?? Infinity) ? hold.holdUntilMs : null;
  return { kind: "full", limit: "enqueued_tokens", tokensLeft: Math.max(0, tokensMax - tokens), retryAtMs };
}

export function claimBatches(
  context: MemoryContext,
  session: number,
  nowMs: EpochMs,
  limit: number,
): Promise<readonly Batch[]> {
  const { batches, routers } = context.database;
  return context.single("batches-claim", (transaction) => {
    if (transaction.get(routers, session)?.endedMs !== null) return [];
    const free = (holder: number | null): boolean =>
      holder === null || holder === session || transaction.get(routers, holder)?.endedMs !== null;
    return transaction
      .all(batches)
      .filter((row) => (row.batch.nextAtMs ?? Infinity) <= nowMs && free(row.session))
      .sort((a, b) => (a.batch.nextAtMs ?? 0) - (b.batch.nextAtMs ?? 0) || a.batch.no - b.batch.no)
      .filter(({ batch }) => transaction.tryLock(batches, batch.no, "exclusive"))
      .slice(0, limit)
      .map(({ batch }) => transaction.update(batches, batch.no, { session }).batch);
  });
}

export function takeFailed(context: MemoryContext, session: number, batchNo: number): Promise<Batch | null> {
  const { batches, routers } = context.database;
  return context.transaction("batch-take-failed", async (transaction) => {
    await context.statement(transaction, "batch-take-failed");
    await transaction.lock(batches, [batchNo], "exclusive");
    const row = transaction.get(batches, batchNo);
    if (transaction.get(routers, session)?.endedMs !== null || row?.batch.state !== "failed") return null;
    if (row.batch.doneAtMs === null) return null;
    return transaction.update(batches, batchNo, { session }).batch;
  });
}

export function saveBatch(
  context: MemoryContext,
  session: number,
  batch: Batch,
  { create, linesOut }: BatchChange,
): Promise<Batch | null> {
  const { batches } = context.database;
  const saved = { ...batch, version: batch.version + 1 };
  return context.transaction(
    "batch-save",
    async (transaction) => {
      if (await fenced(context, transaction, session)) return null;
      await context.statement(transaction, "batch-save");
      await transaction.lock(batches, [batch.no], "exclusive");
      const row = transaction.get(batches, batch.no);
      if (row === undefined || !context.rules.mayChange(row, session, batch)) return null;
      requireOwn(context, transaction, saved);
      transaction.update(batches, batch.no, { batch: saved });
      if (create !== undefined) await writeCreate(context, transaction, saved, create);
      if (linesOut === true && context.rules.takesLinesBack) await takeLinesBack(context, transaction, saved);
      return saved;
    },
    () =>
      // The session's own batch has this version exactly when the change stands: nobody else raises it while the session lives.
      context.single("batch-known", (transaction) => {
        const row = transaction.get(batches, batch.no);
        return row?.batch.version === saved.version && row.session === session ? saved : null;
      }),
  );
}

/** Not those that were left out before its seal. */
async function takeLinesBack(context: MemoryContext, transaction: Transaction, batch: Batch): Promise<void> {
  const { attempts } = context.database;
  await context.statement(transaction, "lines-out-again");
  const back = transaction.all(attempts).filter(({ state, intent, endedMs }) => {
    const isSince = endedMs !== undefined && endedMs > (batch.sealedAtMs ?? Infinity);
    return intent.batchNo === batch.no && state === "not_sent" && isSince;
  });
  const nos = back.map(({ intent }) => intent.no);
  await transaction.lock(attempts, nos, "exclusive");
  for (const no of nos) transaction.update(attempts, no, { state: "batched", outcome: null, outAgain: true });
  await context.budgets.reserveAgain(transaction, back);
}

/** As the real ledger's unique index: two batches of ours are never one at the provider. */
function requireOwn(context: MemoryContext, transaction: Transaction, { no, account, providerBatchId }: Batch): void {
  if (providerBatchId === null || !context.rules.knowsBatches) return;
  const other = transaction
    .all(context.database.batches)
    .find(({ batch }) => batch.no !== no && batch.account === account && batch.providerBatchId === providerBatchId);
  if (other !== undefined) throw new LedgerRefused(`duplicate key in batches: ${providerBatchId}`);
}

async function writeCreate(
  context: MemoryContext,
  transaction: Transaction,
  batch: Batch,
  create: NonNullable<BatchChange["create"]>,
): Promise<void> {
  const { batchCreates } = context.database;
  await context.statement(transaction, "batch-create-write");
  if (!context.rules.keepsIntents) return;
  const key = `${String(batch.no)}:${String(batch.creates)}`;
  if (create.kind === "intent") {
    transaction.insert(batchCreates, key, {
      batchNo: batch.no,
      number: batch.creates,
      account: batch.account,
      mark: create.mark,
      fileId: create.fileId,
      lines: batch.lines,
      intentAtMs: batch.createAtMs ?? 0,
      settled: null,
      providerBatchId: null,
    });
    return;
  }
  const providerBatchId = create.as === "created" ? batch.providerBatchId : null;
  transaction.update(batchCreates, key, { settled: create.as, providerBatchId });
}

export function turnarounds(context: MemoryContext, sinceMs: EpochMs, limit: number): Promise<readonly Turnaround[]> {
  return context.single("batch-turnarounds", (transaction) =>
    transaction
      .all(context.database.batches)
      .flatMap(({ batch }): Turnaround[] => {
        const { account, model, lines, submittedAtMs, endedAtMs, cancelAskedAtMs } = batch;
        if (submittedAtMs === null || endedAtMs === null || endedAtMs < sinceMs || cancelAskedAtMs !== null) return [];
        return [{ account, model, lines, ms: endedAtMs - submittedAtMs, endedAtMs }];
      })
      .sort((a, b) => b.endedAtMs - a.endedAtMs)
      .slice(0, limit),
  );
}

export function batchLoads(context: MemoryContext): Promise<readonly BatchLoad[]> {
  return context.single("batches-loads", (transaction) => {
    const loads = new Map<string, BatchLoad>();
    for (const { batch } of transaction.all(context.database.batches)) {
      const { account, state, lines, tokens } = batch;
      if (state === "done" || state === "failed") continue;
      const known = loads.get(`${account} ${state}`);
      loads.set(`${account} ${state}`, {
        ...{ account, state },
        batches: (known?.batches ?? 0) + 1,
        lines: (known?.lines ?? 0) + lines,
        tokens: (known?.tokens ?? 0) + tokens,
      });
    }
    return [...loads].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, load]) => load);
  });
}

export function createsOf(context: MemoryContext, account: string, sinceMs: EpochMs): Promise<readonly StoredCreate[]> {
  if (!context.rules.knowsBatches) return Promise.resolve([]);
  return context.single("batch-creates", (transaction) =>
    transaction
      .all(context.database.batchCreates)
      .filter((row) => row.account === account && row.intentAtMs >= sinceMs)
      .sort((a, b) => b.intentAtMs - a.intentAtMs || b.batchNo - a.batchNo || b.number - a.number)
      .map(({ batchNo, number, mark, fileId, lines, intentAtMs, settled, providerBatchId }) => ({
        ...{ batchNo, number, mark, fileId, lines, intentAtMs, settled, providerBatchId },
      })),
  );
}

/** A hold that is still in force is never made higher or shorter. */
export function holdAccount(
  context: MemoryContext,
  account: string,
  tokensMax: number | null,
  untilMs: EpochMs,
): Promise<void> {
  const { batchAccounts } = context.database;
  return context.transaction("batch-account-hold", async (transaction) => {
    await context.statement(transaction, "batch-account-hold");
    await transaction.lock(batchAccounts, [account], "exclusive");
    const known = transaction.get(batchAccounts, account);
    const isHeld = (known?.holdUntilMs ?? 0) > context.database.nowMs();
    const lower = Math.min((isHeld ? known?.tokensMax : null) ?? Infinity, tokensMax ?? Infinity);
    const row = {
      tokensMax: lower === Infinity ? null : lower,
      holdUntilMs: isHeld ? Math.max(known?.holdUntilMs ?? 0, untilMs) : untilMs,
    };
    if (known === undefined) transaction.insert(batchAccounts, account, row);
    else transaction.update(batchAccounts, account, row);
  });
}
