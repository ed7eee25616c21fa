import type { DayUse } from "../../../src/domain/limit/day-use.js";
import { familyOf } from "../../../src/domain/route/format-family.js";
import type { SeenStanding } from "../../../src/ports/budget-store.js";
import type { LevelStanding } from "../../../src/domain/budget/budget.js";
import type { AttemptIntent, WaitingExecution } from "../../../src/domain/execution/execution.js";
import { sessionNo, type LedgerKey, type SessionNo } from "../../../src/domain/ids.js";
import { LOG_START_WITNESS } from "../../../src/domain/dedupe/record-witness.js";
import type { MarkedRecords, PositionTurn, RecordMark } from "../../../src/domain/dedupe/crash-suspect.js";
import type { GatewayEvent } from "../../../src/domain/event/event.js";
import type { StoppedPartition } from "../../../src/domain/event/partition-event.js";
import { operatorEvent, type OperatorAction } from "../../../src/domain/event/operator-event.js";
import type { Renderer } from "../../../src/domain/result/outgoing.js";
import type { BreakerSave, HealthStore, StoredBreaker } from "../../../src/ports/health-store.js";
import type {
  CancelRequest,
  ClaimOutcome,
  ClaimRequest,
  ClaimVerdict,
  ExpireOutcome,
  FinishGroup,
  FinishOutcome,
  GivenUp,
  InboxPosition,
  IntakeGroup,
  IntakeOutcome,
  Ledger,
  LedgerLoad,
  LimitQueue,
  LoadLimits,
  OutboxGroup,
  RefusedOutgoing,
  RescueLook,
  StragglerLook,
  StragglersOutcome,
} from "../../../src/ports/ledger.js";
import type { Batch } from "../../../src/domain/batch/batch.js";
import type { LineCounts } from "../../../src/domain/batch/life-group.js";
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
} from "../../../src/ports/batch-ledger.js";
import { accept, positionKey } from "./memory-accept.js";
import { MemoryAlerts } from "./memory-alerts.js";
import { breakersOf, saveBreaker } from "./memory-breakers.js";
import { bindLines, expireBatched, linesByAttempt, openLines, returnLines } from "./memory-batch-lines.js";
import { lineCounts, startLines } from "./memory-start-lines.js";
import {
  batchLoads,
  claimBatches,
  createsOf,
  holdAccount,
  openBatch,
  saveBatch,
  takeFailed,
  turnarounds,
} from "./memory-batches.js";
import { cancelJobs } from "./memory-cancel.js";
import { claim, rescue, setAside } from "./memory-claim.js";
import {
  insertOutbox,
  LEDGER_RULES,
  MemoryContext,
  outboxKey,
  type LedgerRules,
  type LedgerWire,
} from "./memory-context.js";
import type { MemoryDatabase } from "./memory-database.js";
import { expire } from "./memory-expire.js";
import { finish } from "./memory-finish.js";
import type { StopRow } from "./memory-rows.js";
import { adoptPosition, noteStop, stopsOf, type MemoryAdoption } from "./memory-stops.js";
import { beginTurn, markOf, markRecords } from "./memory-turns.js";
import { giveUpOutgoing } from "./memory-give-up.js";
import { resolveAttempt, type MemoryResolution } from "./memory-resolve.js";
import { replayLetter, type MemoryReplay, type MemoryReplayed } from "./memory-replay.js";
import type { EndedSession } from "../../../src/ports/ledger.js";
import { answerStragglers, noteStragglers } from "./memory-stragglers.js";
import { poolLoads, sweepPools, waitingLines } from "./memory-pools.js";
import { giveBack, recoverDeadSessions } from "./memory-sessions.js";

const OUTBOX_SILENT_AFTER_MS = 5000;
const stampOf = (session: SessionNo): string => `session ${String(session)}`;

/**
 * The ledger in memory, one instance a process: same statements, locks and order as on Postgres, with a step of the scheduler between
 * any two. What a planted bug changes comes in as `rules`.
 */
export class MemoryLedger implements Ledger, BatchLedger, HealthStore {
  readonly alerting: MemoryAlerts;
  readonly #context: MemoryContext;
  readonly #database: MemoryDatabase;

  constructor(
    database: MemoryDatabase,
    wire: LedgerWire,
    rules: LedgerRules = LEDGER_RULES,
    weights?: ReadonlyMap<string, number>,
    seen?: SeenStanding,
  ) {
    this.#database = database;
    this.#context = new MemoryContext(database, wire, rules, weights, seen);
    this.alerting = new MemoryAlerts(this.#context);
  }

  /** The connections of this process are cut. @param gone it is dead, and goes on with nothing. */
  disconnect(gone: boolean): void {
    this.#database.abortConnection(this.#context, gone);
  }

  takeNumbers(): Promise<{ readonly from: number; readonly count: number }> {
    return this.#context.single("number-block", () => this.#database.takeBlock());
  }

  standings(): Promise<readonly LevelStanding[]> {
    return this.#context.single("budgets-look", (transaction) => this.#context.budgets.standings(transaction));
  }

  openSession(name: string): Promise<SessionNo> {
    return this.#context.single("session-open", (transaction) => {
      const no = this.#database.nextSession();
      transaction.insert(this.#database.routers, no, {
        no,
        name,
        beatMs: this.#database.nowMs(),
        lowMark: 0,
        endedMs: null,
        died: false,
        recoveredMs: null,
      });
      return sessionNo(no);
    });
  }

  beat(session: SessionNo, lowMark: number): Promise<boolean> {
    const { routers, nowMs } = this.#database;
    return this.#context.single("session-beat", (transaction) => {
      if (transaction.get(routers, session)?.endedMs !== null) return false;
      transaction.update(routers, session, { beatMs: nowMs(), lowMark });
      return true;
    });
  }

  endSession(session: SessionNo): Promise<void> {
    const { routers, nowMs } = this.#database;
    return this.#context.transaction("session-end", async (transaction) => {
      await this.#context.statement(transaction, "session-end");
      await transaction.lock(routers, [session], "exclusive");
      if (transaction.get(routers, session)?.endedMs === null)
        transaction.update(routers, session, { endedMs: nowMs() });
    });
  }

  liveRouters(): Promise<number> {
    const { routers } = this.#database;
    return this.#context.single(
      "sessions-live",
      (transaction) => transaction.all(routers).filter(({ endedMs }) => endedMs === null).length,
    );
  }

  limitQueues(rowsMax: number): Promise<readonly LimitQueue[]> {
    const { ready } = this.#database;
    return this.#context.single("limit-queues", (transaction) => {
      const rows = new Map<string, number>();
      for (const { limit } of transaction.all(ready))
        if (limit !== undefined) rows.set(limit, Math.min(rowsMax, (rows.get(limit) ?? 0) + 1));
      return [...rows].map(([limit, count]) => ({ limit, rows: count }));
    });
  }

  dayUse(accounts: readonly string[], apart: boolean): Promise<readonly DayUse[]> {
    const { attempts, batches, executions, nowMs } = this.#database;
    return this.#context.single("day-use", (transaction) => {
      const uses = new Map<string, DayUse>();
      const ways = new Map(transaction.all(batches).map(({ batch }) => [batch.no, batch.way]));
      for (const { intent, state, tokens, execution } of transaction.all(attempts)) {
        const { account, model, startedAtMs, batchNo } = intent;
        const isCall = batchNo === undefined || ways.get(batchNo) === "calls";
        if (!accounts.includes(account) || !isCall || state === "not_sent" || state === "batched") continue;
        const hoursAgo = Math.max(0, Math.floor((nowMs() - startedAtMs) / 3_600_000));
        if (hoursAgo >= 24) continue;
        const row = transaction.get(executions, execution.no);
        const endpoint = row === undefined ? null : familyOf(row.format);
        const tier = row === undefined ? null : (row.policy.tier ?? "standard");
        const kind = apart ? { endpoint, tier } : {};
        const key = [account, model, hoursAgo, ...Object.values(kind)].join(" ");
        const known = uses.get(key) ?? { account, model, ...kind, hoursAgo, calls: 0, tokens: 0, unknown: 0 };
        uses.set(key, {
          ...known,
          calls: known.calls + 1,
          tokens: known.tokens + (tokens ?? 0),
          unknown: known.unknown + (state === "sending" || state === "in_doubt" ? 1 : 0),
        });
      }
      return [...uses.values()];
    });
  }

  recoverDeadSessions(
    session: SessionNo,
    deadAfterMs: number | null,
    graceMs: (account: string) => number,
    render: Renderer,
  ): Promise<number> {
    return recoverDeadSessions(this.#context, { session, graceMs, render }, deadAfterMs);
  }

  /** Born ended and recovered, as an operator's command opens it. */
  openOperatorSession(name: string): Promise<SessionNo> {
    return this.#context.single("operator-session-open", (transaction) => {
      const [no, nowMs] = [this.#database.nextSession(), this.#database.nowMs()];
      const row = { no, name, beatMs: nowMs, lowMark: 0, endedMs: nowMs, died: false, recoveredMs: nowMs };
      transaction.insert(this.#database.routers, no, row);
      return sessionNo(no);
    });
  }

  replayLetter(request: MemoryReplay, render: Renderer): Promise<MemoryReplayed> {
    return replayLetter(this.#context, request, render);
  }

  resolveAttempt(resolution: MemoryResolution): Promise<boolean> {
    return resolveAttempt(this.#context, resolution);
  }

  position(topic: string, partition: number): Promise<InboxPosition | null> {
    return this.#context.single("position-read", (transaction) => {
      const row = transaction.get(this.#database.positions, positionKey(topic, partition));
      return row === undefined ? null : { next: row.next, witness: row.witness, adoptions: row.adoptions };
    });
  }

  openPosition(topic: string, partition: number, next: number): Promise<void> {
    return this.#context.single("position-open", (transaction) => {
      const key = positionKey(topic, partition);
      if (transaction.get(this.#database.positions, key) === undefined)
        transaction.insert(this.#database.positions, key, {
          next,
          witness: LOG_START_WITNESS,
          lastGroup: null,
          adoptions: 0,
        });
    });
  }

  beginTurn(session: SessionNo, topic: string, partition: number): Promise<PositionTurn> {
    return beginTurn(this.#context, session, positionKey(topic, partition));
  }

  mark(topic: string, partition: number): Promise<RecordMark | null> {
    return markOf(this.#context, positionKey(topic, partition));
  }

  markRecords(session: SessionNo, records: MarkedRecords): Promise<boolean> {
    return markRecords(this.#context, session, positionKey(records.topic, records.partition), records);
  }

  noteStop(session: SessionNo, stopped: StoppedPartition): Promise<void> {
    return noteStop(this.#context, session, stopped);
  }

  stopsOf(topic: string, deadAfterMs: number): Promise<readonly StopRow[]> {
    return stopsOf(this.#context, topic, deadAfterMs);
  }

  adoptPosition(adoption: MemoryAdoption, render: Renderer): Promise<boolean> {
    return adoptPosition(this.#context, adoption, render);
  }

  breakers(): Promise<readonly StoredBreaker[]> {
    return breakersOf(this.#context);
  }

  saveBreaker(
    session: SessionNo,
    save: BreakerSave,
    event: GatewayEvent | null,
    render: Renderer,
  ): Promise<{ readonly saved: boolean; readonly outbox: readonly OutboxGroup[] }> {
    return saveBreaker(this.#context, session, save, event, render);
  }

  accept(group: IntakeGroup, render: Renderer): Promise<IntakeOutcome> {
    return accept(this.#context, group, render);
  }

  claim(
    request: ClaimRequest,
    decide: (waiting: WaitingExecution) => ClaimVerdict,
    render: Renderer,
  ): Promise<ClaimOutcome> {
    return claim(this.#context, request, decide, render);
  }

  rescue(
    look: RescueLook,
    decide: (waiting: WaitingExecution) => ClaimVerdict,
    render: Renderer,
  ): Promise<ClaimOutcome> {
    return rescue(this.#context, look, decide, render);
  }

  setAside(request: Pick<ClaimRequest, "pick" | "nowMs">, untilMs: number): Promise<LedgerKey | null> {
    return this.#context.single("set-aside", (transaction) => setAside(this.#context, transaction, request, untilMs));
  }

  expire(
    session: SessionNo,
    executions: readonly LedgerKey[],
    nowMs: number,
    render: Renderer,
  ): Promise<ExpireOutcome> {
    return expire(this.#context, session, executions, nowMs, render);
  }

  finish(group: FinishGroup, render: Renderer): Promise<FinishOutcome> {
    return finish(this.#context, group, render);
  }

  async takeBackUnsent({ session, stamp, mayHaveSent }: EndedSession, nowMs: number): Promise<number> {
    const { routers, attempts } = this.#database;
    const found = await this.#context.transaction("session-declare-dead", async (transaction) => {
      await transaction.lock(routers, [session], "exclusive");
      const row = transaction.get(routers, session);
      if (row === undefined || stampOf(session) !== stamp) return false;
      if (row.endedMs === null) transaction.update(routers, session, { endedMs: this.#database.nowMs(), died: true });
      return true;
    });
    if (!found) return 0;
    const unsent = await this.#context.single("attempts-of-ended", (transaction) =>
      transaction
        .all(attempts)
        .filter((row) => row.session === session && row.state === "sending" && !mayHaveSent.has(row.intent.no))
        .map(({ execution, intent }) => ({ execution, attempt: intent })),
    );
    await giveBack(this.#context, session, unsent, nowMs);
    return unsent.length;
  }

  sessionStamp(session: SessionNo): Promise<string> {
    return Promise.resolve(stampOf(session));
  }

  openAttempts(
    attempts: readonly { readonly execution: LedgerKey; readonly attempt: AttemptIntent }[],
  ): Promise<ReadonlySet<number>> {
    return this.#context.single("attempts-open", (transaction) => {
      const open = attempts.filter(({ execution, attempt }) => {
        const row = transaction.get(this.#database.attempts, attempt.no);
        if (row?.execution.no !== execution.no || row.execution.day !== execution.day) return false;
        if (row.intent.startedAtMs !== attempt.startedAtMs || row.intent.account !== attempt.account) return false;
        return row.state === "sending" || row.state === "in_doubt" || row.state === "settled";
      });
      return new Set(open.map(({ attempt }) => attempt.no));
    });
  }

  giveBack(
    session: SessionNo,
    attempts: readonly { readonly execution: LedgerKey; readonly attempt: AttemptIntent }[],
    nowMs: number,
  ): Promise<void> {
    return giveBack(this.#context, session, attempts, nowMs);
  }

  cancel(
    session: SessionNo,
    requests: readonly CancelRequest[],
    action: OperatorAction,
    render: Renderer,
  ): Promise<FinishOutcome> {
    const context = this.#context;
    return context.transaction("cancel", async (transaction) => {
      const cancelled = await cancelJobs(context, transaction, requests, action.atMs, render);
      const events = cancelled.requests.map((request) => {
        const event = operatorEvent("operator.cancelled", action, "cancelled", { ...request, generation: null });
        return render.event(event, context.nextNumber(), context.today());
      });
      const outgoing = [...cancelled.outgoing, ...events];
      const outbox = await insertOutbox(context, transaction, session, action.atMs, outgoing);
      return { ended: cancelled.ended, outbox, waste: 0 };
    });
  }

  note(session: SessionNo, event: GatewayEvent, render: Renderer): Promise<readonly OutboxGroup[]> {
    const context = this.#context;
    const record = render.event(event, context.nextNumber(), context.today());
    return context.transaction(
      "note",
      (transaction) => insertOutbox(context, transaction, session, event.atMs, [record]),
      (groups) =>
        context.single("note-known", (transaction) =>
          transaction.get(this.#database.outbox, outboxKey(record)) === undefined ? null : groups,
        ),
    );
  }

  answerStragglers(session: SessionNo, nowMs: number, render: Renderer): Promise<StragglersOutcome> {
    return answerStragglers(this.#context, session, nowMs, render);
  }

  noteStragglers(look: StragglerLook): Promise<number> {
    return noteStragglers(this.#context, look);
  }

  takeOutbox(
    session: SessionNo,
    limit: number,
    olderThanMs: number,
    butNot: readonly string[],
  ): Promise<readonly OutboxGroup[]> {
    const { outbox, outboxReady, routers, nowMs } = this.#database;
    return this.#context.transaction("outbox-take", async (transaction) => {
      await this.#context.statement(transaction, "outbox-take");
      const dead = (no: number): boolean => {
        const router = transaction.get(routers, no);
        return router?.endedMs !== null || router.beatMs <= nowMs() - OUTBOX_SILENT_AFTER_MS;
      };
      const due = transaction
        .all(outboxReady)
        .filter((row) => row.atMs < nowMs() - olderThanMs && row.afterMs <= nowMs() && !butNot.includes(row.topic))
        .filter((row) => row.session === session || dead(row.session));
      const taken = due
        .sort((a, b) => a.seq - b.seq)
        .slice(0, limit)
        .filter((row) => transaction.tryLock(outboxReady, row.seq, "exclusive"));
      for (const row of taken) transaction.update(outboxReady, row.seq, { session, afterMs: nowMs() + olderThanMs });
      return taken.map(({ seq, topic, atMs, keys }) => ({
        seq,
        topic,
        sinceMs: atMs,
        records: keys.flatMap((key) => transaction.get(outbox, key) ?? []),
      }));
    });
  }

  async dropOutbox(seqs: readonly number[]): Promise<void> {
    const { outboxReady } = this.#database;
    await this.#context.transaction("outbox-drop", async (transaction) => {
      await this.#context.statement(transaction, "outbox-drop");
      await transaction.lock(outboxReady, seqs, "exclusive");
      for (const seq of seqs) transaction.remove(outboxReady, seq);
    });
  }

  giveUpOutgoing(session: SessionNo, refused: readonly RefusedOutgoing[], render: Renderer): Promise<GivenUp> {
    return giveUpOutgoing(this.#context, session, refused, render);
  }

  sweepPools(session: SessionNo, nowMs: number, limit: number): Promise<number> {
    return sweepPools(this.#context, session, nowMs, limit);
  }

  pools(): Promise<readonly PoolLoad[]> {
    return poolLoads(this.#context);
  }

  waitingLines(pool: string, limit: number): Promise<readonly WaitingLine[]> {
    return waitingLines(this.#context, pool, limit);
  }

  openBatch(session: SessionNo, wanted: NewBatch, limits: AllowanceLimits): Promise<OpenedBatch> {
    return openBatch(this.#context, session, wanted, limits);
  }

  bindLines(session: SessionNo, batchNo: number, lines: readonly LineBinding[], nowMs: number): Promise<BoundLines> {
    return bindLines(this.#context, session, batchNo, lines, nowMs);
  }

  returnLines(
    session: SessionNo,
    batchNo: number,
    attempts: readonly LedgerKey[] | null,
    limit: number,
    nowMs: number,
  ): Promise<number> {
    return returnLines(this.#context, session, batchNo, attempts, { limit, nowMs });
  }

  claimBatches(session: SessionNo, nowMs: number, limit: number): Promise<readonly Batch[]> {
    return claimBatches(this.#context, session, nowMs, limit);
  }

  takeFailed(session: SessionNo, batchNo: number): Promise<Batch | null> {
    return takeFailed(this.#context, session, batchNo);
  }

  saveBatch(session: SessionNo, batch: Batch, also: BatchChange): Promise<Batch | null> {
    return saveBatch(this.#context, session, batch, also);
  }

  openLines(batchNo: number, after: number, limit: number): Promise<readonly BatchLine[]> {
    return openLines(this.#context, batchNo, after, limit);
  }

  linesByAttempt(batchNo: number, attempts: readonly LedgerKey[]): Promise<readonly BatchLine[]> {
    return linesByAttempt(this.#context, batchNo, attempts);
  }

  startLines(session: SessionNo, batchNo: number, starts: readonly LineStart[]): Promise<ReadonlySet<number>> {
    return startLines(this.#context, session, batchNo, starts);
  }

  lineCounts(batchNo: number): Promise<LineCounts> {
    return lineCounts(this.#context, batchNo);
  }

  expireBatched(session: SessionNo, nowMs: number, limit: number, render: Renderer): Promise<FinishOutcome> {
    return expireBatched(this.#context, session, nowMs, limit, render);
  }

  turnarounds(sinceMs: number, limit: number): Promise<readonly Turnaround[]> {
    return turnarounds(this.#context, sinceMs, limit);
  }

  batchLoads(): Promise<readonly BatchLoad[]> {
    return batchLoads(this.#context);
  }

  creates(account: string, sinceMs: number): Promise<readonly StoredCreate[]> {
    return createsOf(this.#context, account, sinceMs);
  }

  holdAccount(account: string, tokensMax: number | null, untilMs: number): Promise<void> {
    return holdAccount(this.#context, account, tokensMax, untilMs);
  }

  prepareDays(): Promise<void> {
    return Promise.resolve();
  }

  load({ readyRows, outboxRows }: LoadLimits, refusing: readonly string[]): Promise<LedgerLoad> {
    const { ready, pools, executions, outboxReady, routers, nowMs } = this.#database;
    return this.#context.single("load", (transaction) => {
      const waiting: { readonly key: LedgerKey }[] = [...transaction.all(ready), ...transaction.all(pools)];
      const counted = waiting.slice(0, readyRows);
      const due = transaction.all(ready).filter((row) => row.runAtMs <= nowMs());
      const recordsOf = (counts: (topic: string) => boolean): number =>
        transaction
          .all(outboxReady)
          .filter(({ topic }) => counts(topic))
          .slice(0, outboxRows)
          .reduce((sum, row) => sum + row.keys.length, 0);
      return {
        readyRows: counted.length,
        readyBytes: counted.reduce(
          (sum, { key }) => sum + Buffer.byteLength(transaction.get(executions, key.no)?.bodyText ?? ""),
          0,
        ),
        outboxRecords: recordsOf((topic) => !refusing.includes(topic)),
        refusedRecords: recordsOf((topic) => refusing.includes(topic)),
        oldestRunnableMs: due.length === 0 ? null : Math.min(...due.map((row) => row.runAtMs)),
        liveRouters: transaction.all(routers).filter(({ endedMs }) => endedMs === null).length,
      };
    });
  }
}
