import type pg from "pg";
import type { GatewayEvent } from "../../../domain/event/event.js";
import { sessionNo, type SessionNo } from "../../../domain/ids.js";
import type { Renderer } from "../../../domain/result/outgoing.js";
import type { BreakerSave, StoredBreaker } from "../../../ports/health-store.js";
import type { OutboxGroup } from "../../../ports/ledger.js";
import { run, send, transaction } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { insertOutbox } from "../outbox-rows.js";

/** Rows of breakers that closed longer ago go with the next that opens. */
const FORGET_AFTER_MS = 86_400_000;
const NOW_MS = "floor(extract(epoch FROM clock_timestamp()) * 1000)::int8";

/** All rows: those that opened within about a day. The lease of a trial ends with the session that has it. */
export async function breakers(client: pg.PoolClient | pg.Pool): Promise<readonly StoredBreaker[]> {
  const rows = await run(
    client,
    "breakers-read",
    `SELECT b.account, b.model, b.version, b.state, b.openings, b.because, n.ms - b.since_ms,
       CASE WHEN b.state = 'half_open' AND r.ended_at IS NOT NULL THEN least(b.until_ms - n.ms, 0) ELSE b.until_ms - n.ms END,
       n.ms - b.changed_ms, b.session_no
     FROM breakers b LEFT JOIN routers r ON r.session_no = b.session_no, (SELECT ${NOW_MS} AS ms) n`,
    [],
  );
  return rows.map((row) => {
    const [account, model, version, state, openings, because, openMs, leftMs, changedAgoMs, session] = row;
    return {
      account: account ?? "",
      model: model === "" ? null : (model ?? null),
      version: Number(version),
      state: state as StoredBreaker["state"], // the table's CHECK holds the same list
      openings: Number(openings),
      because: because ?? "",
      openMs: Number(openMs),
      leftMs: Number(leftMs),
      changedAgoMs: Number(changedAgoMs),
      session: sessionNo(Number(session)),
    };
  });
}

/** One statement decides: a row of another version is left alone, and one that is not there is made. */
export async function saveBreaker(
  context: LedgerContext,
  session: SessionNo,
  save: BreakerSave,
  event: GatewayEvent | null,
  render: Renderer,
): Promise<{ readonly saved: boolean; readonly outbox: readonly OutboxGroup[] }> {
  const { numbers, pools } = context;
  await numbers.reserve(8);
  const record = event === null ? null : render.event(event, numbers.next(), context.today());
  const key = [save.account, save.model ?? ""];
  return transaction(
    pools.durable,
    async (client) => {
      const changed = await run(
        client,
        "breaker-save",
        `INSERT INTO breakers AS b (account, model, version, state, openings, because, since_ms, until_ms, changed_ms, session_no)
         SELECT $1, $2, $3::int4 + 1, $4, $5, $6, n.ms - $7::int8, n.ms + $8::int8, n.ms, $9 FROM (SELECT ${NOW_MS} AS ms) n
         ON CONFLICT (account, model) DO UPDATE SET version = excluded.version, state = excluded.state, openings = excluded.openings,
           because = excluded.because, since_ms = excluded.since_ms, until_ms = excluded.until_ms, changed_ms = excluded.changed_ms,
           session_no = excluded.session_no
         WHERE b.version = $3::int4
         RETURNING version`,
        [...key, save.version, save.state, save.openings, save.because, save.openMs, save.leftMs, session],
      );
      if (changed.length === 0) return { saved: false, outbox: [] };
      if (save.state === "open")
        send(
          client,
          "breakers-forget",
          `DELETE FROM breakers WHERE state = 'closed' AND changed_ms < ${NOW_MS} - $1::int8`,
          [FORGET_AFTER_MS],
        );
      if (event === null || record === null) return { saved: true, outbox: [] };
      return { saved: true, outbox: insertOutbox(client, numbers, session, event.atMs, [record]) };
    },
    async (result) => {
      if (!result.saved) return result;
      const found = await run(
        pools.durable,
        "breaker-check",
        "SELECT 1 FROM breakers WHERE account = $1 AND model = $2 AND version = $3 AND session_no = $4",
        [...key, save.version + 1, session],
      );
      return found.length > 0 ? result : null;
    },
    context.commitPoints(["breaker.before_commit"], (result) => (result as { readonly saved: boolean }).saved),
  );
}
