import type { Alert } from "../../../src/domain/alert/alert.js";
import { alertName } from "../../../src/domain/alert/alert.js";
import type { AlertMemory, AlertSight, AlertVerdict } from "../../../src/domain/alert/judge.js";
import { noticeOf } from "../../../src/domain/alert/notice.js";
import {
  BATCHES_MAX,
  DOUBTS_MAX,
  NEAREST_DEADLINES_MAX,
  NOTHING_READ,
  type AlertReadings,
} from "../../../src/domain/alert/readings.js";
import { quarterOf, quartersOfInterest, QUARTERS_KEPT } from "../../../src/domain/alert/spend-pattern.js";
import { sumOf, type Tally } from "../../../src/domain/alert/tally.js";
import { alertEvent } from "../../../src/domain/event/alert-event.js";
import type { SessionNo } from "../../../src/domain/ids.js";
import type { Renderer } from "../../../src/domain/result/outgoing.js";
import type { AlertLedger, AlertLook, AlertLookRequest, Notice } from "../../../src/ports/alert-ledger.js";
import { insertOutbox, type MemoryContext } from "./memory-context.js";
import type { Transaction } from "./memory-database.js";
import type { NoticeRow } from "./memory-rows.js";

const WATCH = "watch";

/** Alerts in the ledger in memory, statement by statement as in the real one. */
export class MemoryAlerts implements AlertLedger {
  readonly #context: MemoryContext;

  constructor(context: MemoryContext) {
    this.#context = context;
  }

  addTally(_session: SessionNo, tally: Tally): Promise<void> {
    return this.#context.single("alert-tally-add", (transaction) => {
      const text = JSON.stringify(tally);
      transaction.insert(this.#context.database.alertTallies, this.#context.nextNumber(), { text });
    });
  }

  look(
    request: AlertLookRequest,
    judge: (sight: AlertSight) => AlertVerdict,
    render: Renderer,
  ): Promise<AlertLook | null> {
    return this.#context.transaction("alert-look", (transaction) => this.#lookIn(transaction, request, judge, render));
  }

  async #lookIn(
    transaction: Transaction,
    { session, everyMs, notify, readings }: AlertLookRequest,
    judge: (sight: AlertSight) => AlertVerdict,
    render: Renderer,
  ): Promise<AlertLook | null> {
    const { database } = this.#context;
    await this.#context.statement(transaction, "alert-turn");
    const nowMs = Math.floor(database.nowMs());
    if (!transaction.tryLock(database.alertWatch, WATCH, "exclusive")) return null;
    const row = transaction.get(database.alertWatch, WATCH) ?? { lookedAtMs: 0, memory: null };
    if (row.lookedAtMs > nowMs - everyMs && row.lookedAtMs <= nowMs) return null;
    await this.#context.statement(transaction, "alert-reads");
    const alerts = await this.#readAlerts(transaction);
    const counted = sumOf(
      this.#takeAll(transaction).map(({ text }) => JSON.parse(text) as Tally), // written by addTally
    );
    this.#addSpend(transaction, BigInt(counted.nanoUsd), nowMs);
    const memory = row.memory === null ? null : (JSON.parse(row.memory) as AlertMemory); // written below
    const read = { ...NOTHING_READ, ...this.#readings(transaction, nowMs), ...readings };
    const verdict = judge({ nowMs, memory, counted, alerts, readings: read });
    await this.#context.statement(transaction, "alerts-store");
    await this.#store(transaction, verdict);
    const watch = { lookedAtMs: nowMs, memory: JSON.stringify(verdict.memory) };
    if (transaction.get(database.alertWatch, WATCH) === undefined)
      transaction.insert(database.alertWatch, WATCH, watch);
    else transaction.update(database.alertWatch, WATCH, watch);
    const told = verdict.changes.flatMap(({ before, after, turn }) => {
      if (turn === null || after === null) return [];
      const event = alertEvent(after, turn, before?.sinceMs ?? nowMs, nowMs);
      return [{ event, no: this.#context.nextNumber() }];
    });
    for (const { event, no } of notify ? told : []) {
      const notice: NoticeRow = {
        ...noticeOf(event, no),
        no,
        tries: 0,
        createdMs: nowMs,
        nextAtMs: nowMs,
        reason: null,
      };
      transaction.insert(database.alertNotices, no, notice);
    }
    const records = told.map(({ event, no }) => render.event(event, no, this.#context.today()));
    const outbox = await insertOutbox(this.#context, transaction, session, nowMs, records);
    return { nowMs, alerts, changes: verdict.changes, outbox };
  }

  #takeAll(transaction: Transaction): readonly { readonly text: string }[] {
    const { alertTallies } = this.#context.database;
    const rows = transaction.all(alertTallies);
    for (const key of [...alertTallies.committed.keys()]) transaction.remove(alertTallies, key);
    return rows;
  }

  #addSpend(transaction: Transaction, nanoUsd: bigint, nowMs: number): void {
    if (nanoUsd === 0n) return;
    const { alertSpend } = this.#context.database;
    const quarter = quarterOf(nowMs);
    const known = transaction.get(alertSpend, quarter);
    if (known === undefined) transaction.insert(alertSpend, quarter, { quarter, nanoUsd });
    else transaction.update(alertSpend, quarter, { nanoUsd: known.nanoUsd + nanoUsd });
    for (const row of transaction.all(alertSpend))
      if (row.quarter < quarter - QUARTERS_KEPT) transaction.remove(alertSpend, row.quarter);
  }

  #readings(transaction: Transaction, nowMs: number): Partial<AlertReadings> {
    const { database } = this.#context;
    const ready = transaction.all(database.ready);
    const runnable = ready.filter(({ runAtMs }) => runAtMs <= nowMs).map(({ runAtMs }) => runAtMs);
    const open = transaction.all(database.costs).filter(({ nanoUsd, attemptNo }) => {
      const attempt = attemptNo === null ? undefined : transaction.get(database.attempts, attemptNo);
      return nanoUsd === null && attempt?.state === "settled";
    }).length;
    const quarters = new Set(quartersOfInterest(nowMs));
    const spend = transaction.all(database.alertSpend);
    return {
      runnable: { oldestAtMs: runnable.length === 0 ? null : Math.min(...runnable) },
      nearestDeadlinesMs: ready
        .map(({ expiresMs }) => expiresMs)
        .sort((one, other) => one - other)
        .slice(0, NEAREST_DEADLINES_MAX),
      doubts:
        Math.min(DOUBTS_MAX, ready.filter(({ waitsFor }) => waitsFor === "doubt").length) + Math.min(DOUBTS_MAX, open),
      batches: this.#batches(transaction),
      budgets: this.#context.budgets.standings(transaction),
      breakers: transaction
        .all(database.breakers)
        .map(({ account, model, state, because }) => ({ account, model, open: state !== "closed", reason: because })),
      spend: {
        firstQuarter: spend.length === 0 ? null : Math.min(...spend.map(({ quarter }) => quarter)),
        nanoUsd: new Map(
          spend.filter(({ quarter }) => quarters.has(quarter)).map(({ quarter, nanoUsd }) => [quarter, nanoUsd]),
        ),
      },
    };
  }

  #batches(transaction: Transaction): AlertReadings["batches"] {
    return transaction
      .all(this.#context.database.batches)
      .flatMap(({ batch, nearestDeadlineMs }) => {
        const { no, account, model, lines, submittedAtMs, endedAtMs, state } = batch;
        if (state === "done" || state === "failed" || submittedAtMs === null || endedAtMs !== null) return [];
        return [{ no, account, model, lines, submittedAtMs, nearestDeadlineMs }];
      })
      .sort((one, other) => one.submittedAtMs - other.submittedAtMs)
      .slice(0, BATCHES_MAX);
  }

  /** Each on condition of its version. */
  async #store(transaction: Transaction, { changes }: AlertVerdict): Promise<void> {
    const { alerts } = this.#context.database;
    for (const { before, after } of changes) {
      const name = alertName(after ?? before ?? { rule: "budget", subject: "" });
      await transaction.lock(alerts, [name], "exclusive");
      if (transaction.get(alerts, name)?.version !== before?.version)
        throw new Error(`alert ${name} was changed meanwhile`);
      if (after === null) transaction.remove(alerts, name);
      else if (before === null) transaction.insert(alerts, name, after);
      else transaction.update(alerts, name, after);
    }
  }

  async #readAlerts(transaction: Transaction): Promise<readonly Alert[]> {
    await this.#context.statement(transaction, "alerts-read");
    return transaction.all(this.#context.database.alerts).sort((a, b) => (alertName(a) < alertName(b) ? -1 : 1));
  }

  alerts(): Promise<readonly Alert[]> {
    return this.#context.transaction("alerts-read", (transaction) => this.#readAlerts(transaction));
  }

  takeNotices(limit: number, holdMs: number): Promise<readonly Notice[]> {
    const { alertNotices, nowMs } = this.#context.database;
    return this.#context.single("alert-notices-take", (transaction) => {
      const now = Math.floor(nowMs());
      const due = transaction
        .all(alertNotices)
        .filter((row) => row.nextAtMs <= now)
        .sort((one, other) => one.no - other.no)
        .slice(0, limit);
      return due.map(({ no, tries, createdMs, eventId, body }) => {
        transaction.update(alertNotices, no, { tries: tries + 1, nextAtMs: now + holdMs });
        return { no, eventId, body, tries: tries + 1, ageMs: now - createdMs };
      });
    });
  }

  endNotice(no: number): Promise<void> {
    return this.#context.single("alert-notice-end", (transaction) => {
      transaction.remove(this.#context.database.alertNotices, no);
    });
  }

  retryNotice({ no, tries }: Notice, afterMs: number, reason: string): Promise<void> {
    const { alertNotices, nowMs } = this.#context.database;
    return this.#context.single("alert-notice-retry", (transaction) => {
      if (transaction.get(alertNotices, no)?.tries !== tries) return;
      transaction.update(alertNotices, no, { nextAtMs: Math.floor(nowMs()) + afterMs, reason });
    });
  }
}
