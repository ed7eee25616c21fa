import type { LedgerKey } from "../../domain/ids.js";
import type { ClaimRequest } from "../../ports/ledger.js";
import { run } from "./connection.js";
import type { LedgerContext } from "./ledger-context.js";
import { dueMs } from "./ready-take.js";

const SET = "UPDATE ready r SET run_at_ms = $1, expires_ms = $1, waits_for = 'operator', limit_name = ''";

/** The first due row alone, in a statement that touches nothing else: whatever its claim was refused for can't be in the way. */
export async function setAside(
  context: LedgerContext,
  request: Pick<ClaimRequest, "pick" | "nowMs" | "limits">,
  untilMs: number,
): Promise<LedgerKey | null> {
  const pool = context.pools.durable;
  const { pick, nowMs, limits } = request;
  if (pick === "expire") {
    const rows = await run(
      pool,
      "ready-set-aside-expire",
      `${SET} FROM (SELECT no FROM ready WHERE expires_ms <= $2 ORDER BY expires_ms LIMIT 1 FOR UPDATE SKIP LOCKED) q
       WHERE r.no = q.no RETURNING r.no, r.day`,
      [untilMs, nowMs],
    );
    return keyOf(rows);
  }
  const wish = limits === undefined || limits.size === 0 ? { limit: 1 } : { limit: 0, limits };
  const part = await context.readyTake.first(pool, wish, nowMs);
  if (part === null) return null;
  const rows = await run(
    pool,
    "ready-set-aside-run",
    `${SET} FROM (SELECT no FROM ready WHERE limit_name = $2 AND tenant_no = $3 AND run_at_ms <= $4 ORDER BY priority DESC, expires_ms
       LIMIT 1 FOR UPDATE SKIP LOCKED) q WHERE r.no = q.no RETURNING r.no, r.day`,
    [untilMs, part.limit, Number(part.tenant), dueMs(part, nowMs)],
  );
  return keyOf(rows);
}

function keyOf([row]: readonly (readonly (string | null)[])[]): LedgerKey | null {
  return row === undefined ? null : { no: Number(row[0]), day: Number(row[1]) };
}
