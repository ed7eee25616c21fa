import { LOG_START_WITNESS } from "../../domain/dedupe/record-witness.js";
import type { DayUse } from "../../domain/limit/day-use.js";
import type { LedgerKey, SessionNo } from "../../domain/ids.js";
import type { AttemptIntent, WaitingExecution } from "../../domain/execution/execution.js";
import type { GatewayEvent } from "../../domain/event/event.js";
import type { StoppedPartition } from "../../domain/event/partition-event.js";
import { operatorEvent, type OperatorAction } from "../../domain/event/operator-event.js";
import type { MarkedRecords, PositionTurn, RecordMark } from "../../domain/dedupe/crash-suspect.js";
import type { LevelStanding } from "../../domain/budget/budget.js";
import type { Renderer } from "../../domain/result/outgoing.js";
import type { BreakerSave, HealthStore, StoredBreaker } from "../../ports/health-store.js";
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
} from "../../ports/ledger.js";
import type { EndedSession } from "../../ports/ledger.js";
import { accept } from "./accept.js";
import { PostgresBatches } from "./batch/postgres-batches.js";
import { int8Array, textArray } from "./binary-array.js";
import { cancelRows } from "./cancel.js";
import { claim, rescue } from "./claim.js";
import { setAside } from "./set-aside.js";
import { run, transaction } from "./connection.js";
import { expire } from "./expire.js";
import { finish } from "./finish.js";
import { giveUpOutgoing } from "./give-up.js";
import { breakers, saveBreaker } from "./health/breaker-rows.js";
import type { LedgerContext } from "./ledger-context.js";
import { oldestRunnable } from "./oldest-runnable.js";
import { insertOutbox, loadOutgoing, takeOutboxRows } from "./outbox-rows.js";
import { rehearse } from "./rehearsal.js";
import { openAttempts } from "./attempt-rows.js";
import { dayUse } from "./day-use.js";
import { limitQueues } from "./limit-queues.js";
import { sampledRows } from "./sampled-table.js";
import {
  beat,
  endSession,
  giveBack,
  LIVE_ROUTERS,
  liveRouters,
  openSession,
  recoverDeadSessions,
  sessionStamp,
} from "./sessions.js";
import { takeBackUnsent } from "./take-back-unsent.js";
import { noteStop } from "./stops.js";
import { answerStragglers, noteStragglers } from "./stragglers.js";
import { bytesOrNull } from "./stored-body.js";
import { beginTurn, markRecords, readMark } from "./turns.js";

/** A router that has not beaten for this long may have its outbox groups taken over; a repeat has the same bytes. */
const OUTBOX_SILENT_AFTER_MS = 5000;

/** The ledger on PostgreSQL: one function a transaction, in the files beside this one. */
export class PostgresLedger extends PostgresBatches implements Ledger, HealthStore {
  readonly #tenants: readonly string[];

  constructor(context: LedgerContext, tenants: readonly string[]) {
    super(context);
    this.#tenants = tenants;
  }

  takeNumbers(): Promise<{ readonly from: number; readonly count: number }> {
    return this.context.numbers.take();
  }

  async openSession(name: string): Promise<SessionNo> {
    await this.context.tenants.ensure(this.#tenants);
    return openSession(this.context, name);
  }

  /** Makes the usual way quick before the first job takes it. @throws what the ledger says against it; nothing of it stays. */
  async rehearse(session: SessionNo, render: Renderer, nowMs: number): Promise<void> {
    const [tenant] = this.#tenants;
    if (tenant !== undefined) await rehearse(this.context, session, tenant, render, nowMs);
  }

  beat(session: SessionNo, lowMark: number): Promise<boolean> {
    return beat(this.context, session, lowMark);
  }

  endSession(session: SessionNo): Promise<void> {
    return endSession(this.context, session);
  }

  liveRouters(): Promise<number> {
    return liveRouters(this.context);
  }

  limitQueues(rowsMax: number): Promise<readonly LimitQueue[]> {
    return limitQueues(this.context, rowsMax);
  }

  dayUse(accounts: readonly string[], apart: boolean): Promise<readonly DayUse[]> {
    return dayUse(this.context, accounts, apart);
  }

  recoverDeadSessions(
    session: SessionNo,
    deadAfterMs: number | null,
    graceMs: (account: string) => number,
    render: Renderer,
  ): Promise<number> {
    return recoverDeadSessions(this.context, { session, graceMs, render }, deadAfterMs);
  }

  async position(topic: string, partition: number): Promise<InboxPosition | null> {
    const rows = await run(
      this.context.pools.durable,
      "position-read",
      "SELECT next, witness, adoptions FROM inbox_position WHERE cluster = $1 AND topic = $2 AND partition = $3",
      [this.context.cluster, topic, partition],
    );
    const [row] = rows;
    if (row === undefined) return null;
    const [next, witness, adoptions] = row;
    return { next: Number(next), witness: bytesOrNull(witness ?? null), adoptions: Number(adoptions) };
  }

  async openPosition(topic: string, partition: number, next: number): Promise<void> {
    await run(
      this.context.pools.durable,
      "position-open",
      "INSERT INTO inbox_position (cluster, topic, partition, next, witness) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
      [this.context.cluster, topic, partition, next, LOG_START_WITNESS],
    );
  }

  beginTurn(session: SessionNo, topic: string, partition: number): Promise<PositionTurn> {
    return beginTurn(this.context, session, topic, partition);
  }

  mark(topic: string, partition: number): Promise<RecordMark | null> {
    return readMark(this.context, topic, partition);
  }

  markRecords(session: SessionNo, records: MarkedRecords): Promise<boolean> {
    return markRecords(this.context, session, records);
  }

  noteStop(session: SessionNo, stopped: StoppedPartition, atMs: number): Promise<void> {
    return noteStop(this.context, session, stopped, atMs);
  }

  breakers(): Promise<readonly StoredBreaker[]> {
    return breakers(this.context.pools.durable);
  }

  saveBreaker(
    session: SessionNo,
    save: BreakerSave,
    event: GatewayEvent | null,
    render: Renderer,
  ): Promise<{ readonly saved: boolean; readonly outbox: readonly OutboxGroup[] }> {
    return saveBreaker(this.context, session, save, event, render);
  }

  accept(group: IntakeGroup, render: Renderer): Promise<IntakeOutcome> {
    return accept(this.context, group, render);
  }

  claim(
    request: ClaimRequest,
    decide: (waiting: WaitingExecution) => ClaimVerdict,
    render: Renderer,
  ): Promise<ClaimOutcome> {
    return claim(this.context, request, decide, render);
  }

  rescue(
    look: RescueLook,
    decide: (waiting: WaitingExecution) => ClaimVerdict,
    render: Renderer,
  ): Promise<ClaimOutcome> {
    return rescue(this.context, look, decide, render);
  }

  setAside(request: Pick<ClaimRequest, "pick" | "nowMs" | "limits">, untilMs: number): Promise<LedgerKey | null> {
    return setAside(this.context, request, untilMs);
  }

  expire(
    session: SessionNo,
    executions: readonly LedgerKey[],
    nowMs: number,
    render: Renderer,
  ): Promise<ExpireOutcome> {
    return expire(this.context, session, executions, nowMs, render);
  }

  finish(group: FinishGroup, render: Renderer): Promise<FinishOutcome> {
    return finish(this.context, group, render);
  }

  takeBackUnsent(ended: EndedSession, nowMs: number): Promise<number> {
    return takeBackUnsent(this.context, ended, nowMs);
  }

  sessionStamp(session: SessionNo): Promise<string> {
    return sessionStamp(this.context, session);
  }

  openAttempts(
    attempts: readonly { readonly execution: LedgerKey; readonly attempt: AttemptIntent }[],
  ): Promise<ReadonlySet<number>> {
    return openAttempts(this.context.pools.durable, attempts);
  }

  giveBack(
    session: SessionNo,
    attempts: readonly { readonly execution: LedgerKey; readonly attempt: AttemptIntent }[],
    nowMs: number,
  ): Promise<void> {
    return giveBack(this.context, session, attempts, nowMs);
  }

  async cancel(
    session: SessionNo,
    requests: readonly CancelRequest[],
    action: OperatorAction,
    render: Renderer,
  ): Promise<FinishOutcome> {
    const context = this.context;
    await context.tenants.ensure(this.#tenants);
    await context.numbers.reserve(requests.length * 2 + 16);
    return transaction(context.pools.durable, async (client) => {
      const cancelled = await cancelRows(client, context, requests, action.atMs, render);
      const events = cancelled.requests.map((request) => {
        const event = operatorEvent("operator.cancelled", action, "cancelled", { ...request, generation: null });
        return render.event(event, context.numbers.next(), context.today());
      });
      const outgoing = [...cancelled.outgoing, ...events];
      const outbox = insertOutbox(client, context.numbers, session, action.atMs, outgoing);
      context.reach("cancel.before_commit");
      return { ended: cancelled.ended, outbox, waste: 0 };
    });
  }

  async note(session: SessionNo, event: GatewayEvent, render: Renderer): Promise<readonly OutboxGroup[]> {
    const { numbers, pools } = this.context;
    await numbers.reserve(8);
    const record = render.event(event, numbers.next(), this.context.today());
    return transaction(
      pools.durable,
      (client) => Promise.resolve(insertOutbox(client, numbers, session, event.atMs, [record])),
      // Written once: what stands is found by its number.
      async (groups) => {
        const found = await loadOutgoing(pools.durable, { kinds: ["event"], nos: [record.no], days: [record.day] });
        return found.length > 0 ? groups : null;
      },
    );
  }

  answerStragglers(session: SessionNo, nowMs: number, render: Renderer): Promise<StragglersOutcome> {
    return answerStragglers(this.context, session, nowMs, render);
  }

  noteStragglers(look: StragglerLook): Promise<number> {
    return noteStragglers(this.context, look);
  }

  takeOutbox(
    session: SessionNo,
    limit: number,
    olderThanMs: number,
    butNot: readonly string[],
  ): Promise<readonly OutboxGroup[]> {
    const take = { session, limit, olderThanMs, silentAfterMs: OUTBOX_SILENT_AFTER_MS, butNot };
    return transaction(
      this.context.pools.durable,
      (client) => takeOutboxRows(client, take),
      () => Promise.resolve(null),
    );
  }

  async dropOutbox(seqs: readonly number[]): Promise<void> {
    await run(this.context.pools.relaxed, "outbox-drop", "DELETE FROM outbox_ready WHERE seq = ANY($1::int8[])", [
      int8Array(seqs),
    ]);
  }

  giveUpOutgoing(session: SessionNo, refused: readonly RefusedOutgoing[], render: Renderer): Promise<GivenUp> {
    return giveUpOutgoing(this.context, session, refused, render);
  }

  async prepareDays(): Promise<void> {
    await run(
      this.context.pools.durable,
      "days-prepare",
      `SELECT create_day_partitions(floor(extract(epoch FROM now()) / 86400)::integer, floor(extract(epoch FROM now()) / 86400)::integer + 14)`,
      [],
    );
  }

  standings(): Promise<readonly LevelStanding[]> {
    return this.context.budgets.standings(this.context.pools.durable);
  }

  /** Of large tables some pages tell: back-pressure asks every second, and goes by marks. Counting stops where it asks no further. */
  async load({ readyRows, outboxRows }: LoadLimits, refusing: readonly string[]): Promise<LedgerLoad> {
    const records = (where: string): string =>
      `(SELECT coalesce(round(sum(o.weight * o.records)), 0)::int8
        FROM (SELECT * FROM ${sampledRows("outbox_ready", "cardinality(t.nos) AS records", where)} n LIMIT $2) o)`;
    const rows = await run(
      this.context.pools.durable,
      "ledger-load",
      `SELECT r.rows, r.bytes, ${records("t.topic <> ALL ($3::text[])")},
         CASE WHEN cardinality($3::text[]) = 0 THEN 0 ELSE ${records("t.topic = ANY ($3::text[])")} END,
         ${oldestRunnable("(extract(epoch FROM statement_timestamp()) * 1000)::int8")}, ${LIVE_ROUTERS}
       FROM (SELECT coalesce(round(sum(q.weight)), 0)::int8 AS rows, coalesce(round(sum(q.weight * q.bytes)), 0)::int8 AS bytes
         FROM (SELECT * FROM (SELECT * FROM ${sampledRows("ready", "t.bytes")} a UNION ALL SELECT * FROM ${sampledRows("batch_ready", "t.bytes")} b) w LIMIT $1) q) r`,
      [readyRows, outboxRows, textArray(refusing)],
    );
    const [ready, bytes, outbox, refused, oldest, live] = rows[0] ?? [];
    return {
      readyRows: Number(ready),
      readyBytes: Number(bytes),
      outboxRecords: Number(outbox),
      refusedRecords: Number(refused),
      oldestRunnableMs: oldest === null || oldest === undefined ? null : Number(oldest),
      liveRouters: Number(live),
    };
  }
}
