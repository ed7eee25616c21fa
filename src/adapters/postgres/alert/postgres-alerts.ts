import type pg from "pg";
import type { Alert } from "../../../domain/alert/alert.js";
import {
  TURNS_MAX,
  type AlertChange,
  type AlertMemory,
  type AlertSight,
  type AlertVerdict,
} from "../../../domain/alert/judge.js";
import { noticeOf } from "../../../domain/alert/notice.js";
import { NOTHING_READ } from "../../../domain/alert/readings.js";
import { sumOf, type Tally } from "../../../domain/alert/tally.js";
import { alertEvent } from "../../../domain/event/alert-event.js";
import type { EpochMs, SessionNo } from "../../../domain/ids.js";
import type { Outgoing, Renderer } from "../../../domain/result/outgoing.js";
import type { AlertLedger, AlertLook, AlertLookRequest, Notice } from "../../../ports/alert-ledger.js";
import { int8Array, textArray } from "../binary-array.js";
import { run, send, transaction } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { insertOutbox } from "../outbox-rows.js";
import { addSpend, readSources } from "./alert-readings.js";
import { readAlerts, storeAlerts } from "./alert-rows.js";

/** For the queue rows of a look's events. */
const OUTBOX_NUMBERS = 8;
/** Rows of counts that one look adds up; further ones are the next one's. */
const TALLIES_MAX = 5000;

/** Alerts on PostgreSQL. */
export class PostgresAlerts implements AlertLedger {
  readonly #context: LedgerContext;

  constructor(context: LedgerContext) {
    this.#context = context;
  }

  async addTally(session: SessionNo, tally: Tally): Promise<void> {
    await run(
      this.#context.pools.relaxed,
      "alert-tally-add",
      "INSERT INTO alert_tallies (session_no, tally) VALUES ($1, $2)",
      [session, JSON.stringify(tally)],
    );
  }

  async look(
    request: AlertLookRequest,
    judge: (sight: AlertSight) => AlertVerdict,
    render: Renderer,
  ): Promise<AlertLook | null> {
    const { numbers, pools } = this.#context;
    await numbers.reserve(TURNS_MAX + OUTBOX_NUMBERS);
    return transaction(
      pools.durable,
      (client) => this.#lookIn(client, request, judge, render),
      // If it stands, its events are in the outbox, and the next try finds that it is not time.
      () => Promise.resolve(null),
    );
  }

  async #lookIn(
    client: pg.PoolClient,
    request: AlertLookRequest,
    judge: (sight: AlertSight) => AlertVerdict,
    render: Renderer,
  ): Promise<AlertLook | null> {
    const turn = await takeTurn(client, request.everyMs);
    if (turn === null) return null;
    const { nowMs, memory } = turn;
    const [counted, alerts] = await Promise.all([takeTallies(client), readAlerts(client)]);
    addSpend(client, BigInt(counted.nanoUsd), nowMs);
    const readings = { ...NOTHING_READ, ...(await readSources(client, this.#context, nowMs)) };
    const verdict = judge({ nowMs, memory, counted, alerts, readings });
    await storeAlerts(client, verdict.changes);
    send(client, "alert-remember", "UPDATE alert_watch SET memory = $1", [JSON.stringify(verdict.memory)]);
    const outgoing = this.#tell(client, request, verdict.changes, nowMs, render);
    const outbox = insertOutbox(client, this.#context.numbers, request.session, nowMs, outgoing);
    return { nowMs, alerts, changes: verdict.changes, outbox };
  }

  /** An event for each alert that turned, and its notice. */
  #tell(
    client: pg.PoolClient,
    { notify }: AlertLookRequest,
    changes: readonly AlertChange[],
    nowMs: EpochMs,
    render: Renderer,
  ): readonly Outgoing[] {
    const told = changes.flatMap(({ before, after, turn }) => {
      if (turn === null || after === null) return [];
      const event = alertEvent(after, turn, before?.sinceMs ?? nowMs, nowMs);
      return [{ event, no: this.#context.numbers.next() }];
    });
    if (notify && told.length > 0) {
      const notices = told.map(({ event, no }) => noticeOf(event, no));
      send(
        client,
        "alert-notices-add",
        `INSERT INTO alert_notices (no, event_id, body, created_ms, next_at_ms)
         SELECT u.no, u.id, u.body, $4, $4 FROM unnest($1::int8[], $2::text[], $3::text[]) AS u(no, id, body)`,
        [
          int8Array(told.map(({ no }) => no)),
          textArray(notices.map(({ eventId }) => eventId)),
          textArray(notices.map(({ body }) => body)),
          nowMs,
        ],
      );
    }
    return told.map(({ event, no }) => render.event(event, no, this.#context.today()));
  }

  alerts(): Promise<readonly Alert[]> {
    return readAlerts(this.#context.pools.durable);
  }

  async takeNotices(limit: number, holdMs: number): Promise<readonly Notice[]> {
    const rows = await run(
      this.#context.pools.durable,
      "alert-notices-take",
      `UPDATE alert_notices n SET tries = n.tries + 1, next_at_ms = d.now_ms + $2
       FROM (SELECT no, floor(extract(epoch FROM clock_timestamp()) * 1000)::int8 AS now_ms FROM alert_notices
             WHERE next_at_ms <= extract(epoch FROM clock_timestamp()) * 1000 ORDER BY no LIMIT $1 FOR UPDATE SKIP LOCKED) d
       WHERE n.no = d.no RETURNING n.no, n.event_id, n.body, n.tries, d.now_ms - n.created_ms`,
      [limit, holdMs],
    );
    const notices = rows.map(([no, eventId, body, tries, age]) => ({
      no: Number(no),
      eventId: eventId ?? "",
      body: body ?? "",
      tries: Number(tries),
      ageMs: Number(age),
    }));
    return notices.sort((one, other) => one.no - other.no);
  }

  async endNotice(no: number): Promise<void> {
    await run(this.#context.pools.durable, "alert-notice-end", "DELETE FROM alert_notices WHERE no = $1", [no]);
  }

  async retryNotice({ no, tries }: Notice, afterMs: number, reason: string): Promise<void> {
    await run(
      this.#context.pools.durable,
      "alert-notice-retry",
      `UPDATE alert_notices SET next_at_ms = floor(extract(epoch FROM clock_timestamp()) * 1000)::int8 + $3, last_error = $4
       WHERE no = $1 AND tries = $2`,
      [no, tries, afterMs, reason],
    );
  }
}

/** Whoever updates the row looks; another one that does is passed by. A clock that was set back does not stop the looks. */
async function takeTurn(
  client: pg.PoolClient,
  everyMs: number,
): Promise<{ readonly nowMs: EpochMs; readonly memory: AlertMemory | null } | null> {
  const [row] = await run(
    client,
    "alert-turn",
    `UPDATE alert_watch w SET looked_at_ms = d.now_ms
     FROM (SELECT no, t.now_ms FROM alert_watch, (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::int8 AS now_ms) t
           WHERE looked_at_ms <= t.now_ms - $1::int8 OR looked_at_ms > t.now_ms FOR UPDATE OF alert_watch SKIP LOCKED) d
     WHERE w.no = d.no RETURNING d.now_ms, w.memory`,
    [everyMs],
  );
  if (row === undefined) return null;
  const [nowMs, memory] = row;
  return {
    nowMs: Number(nowMs),
    memory: memory === null || memory === undefined ? null : (JSON.parse(memory) as AlertMemory), // written by a look
  };
}

async function takeTallies(client: pg.PoolClient): Promise<Tally> {
  const rows = await run(
    client,
    "alert-tallies-take",
    `DELETE FROM alert_tallies WHERE no IN (SELECT no FROM alert_tallies ORDER BY no LIMIT ${String(TALLIES_MAX)}) RETURNING tally`,
    [],
  );
  return sumOf(rows.map(([tally]) => JSON.parse(tally ?? "") as Tally)); // written by addTally
}
