import type pg from "pg";
import { LIVE_BATCH_STATES, newBatch, type Batch } from "../../../domain/batch/batch.js";
import type { EpochMs, SessionNo } from "../../../domain/ids.js";
import type { AllowanceLimits, NewBatch, OpenedBatch } from "../../../ports/batch-ledger.js";
import { textArray } from "../binary-array.js";
import { run, send, transaction } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { BATCH_COLUMNS, factsOf, LIVING_SESSION, readBatch } from "./batch-rows.js";

/**
 * The transaction that reserves a batch's lines and tokens at its account. The account's row is locked first, the sums are taken in a
 * later statement: two batches are never opened on the same sums.
 */
export async function openBatch(
  context: LedgerContext,
  session: SessionNo,
  wanted: NewBatch,
  limits: AllowanceLimits,
): Promise<OpenedBatch> {
  return transaction(
    context.pools.durable,
    (client) => openInTransaction(client, session, wanted, limits),
    async (outcome) => {
      if (outcome.kind !== "opened") return outcome;
      const [row] = await run(context.pools.durable, "batch-read", READ, [wanted.no]);
      return row === undefined ? null : { kind: "opened", batch: readBatch(row) };
    },
  );
}

const READ = `SELECT ${BATCH_COLUMNS} FROM batches b WHERE b.no = $1`;

async function openInTransaction(
  client: pg.PoolClient,
  session: SessionNo,
  wanted: NewBatch,
  limits: AllowanceLimits,
): Promise<OpenedBatch> {
  const [fence, account] = await Promise.all([
    run(client, "batch-session-fence", LIVING_SESSION, [session]),
    run(
      client,
      "batch-account-lock",
      `INSERT INTO batch_accounts (account) VALUES ($1) ON CONFLICT (account) DO UPDATE SET account = excluded.account
       RETURNING tokens_max, hold_until_ms`,
      [wanted.account],
    ),
  ]);
  if (fence.length === 0) return { kind: "fenced" };
  const [tokensMax, holdUntilMs] = account[0] ?? [];
  const hold =
    tokensMax === null || tokensMax === undefined || Number(holdUntilMs) <= wanted.createdAtMs
      ? null
      : { tokensMax: Number(tokensMax), untilMs: Number(holdUntilMs) };
  const full = whatIsFull(await liveSums(client, wanted.account), wanted, limits, hold);
  if (full !== null) return full;
  const batch = newBatch(wanted);
  insertBatch(client, session, batch);
  return { kind: "opened", batch };
}

/** Over the batches of an account that count there. */
interface LiveSums {
  readonly batches: number;
  readonly lines: number;
  readonly tokens: number;
  /** Those that the provider does not have for certain yet. */
  readonly uncreated: number;
}

async function liveSums(client: pg.PoolClient, account: string): Promise<LiveSums> {
  const rows = await run(
    client,
    "batches-live-sums",
    `SELECT count(*), coalesce(sum(lines), 0), coalesce(sum(tokens), 0), count(*) FILTER (WHERE state NOT IN ('submitted', 'cancelling'))
     FROM batches WHERE account = $1 AND state = ANY ($2::text[]) AND state NOT IN ('done', 'failed')`,
    [account, textArray(LIVE_BATCH_STATES)],
  );
  const [batches, lines, tokens, uncreated] = rows[0] ?? [];
  return { batches: Number(batches), lines: Number(lines), tokens: Number(tokens), uncreated: Number(uncreated) };
}

type Full = Extract<OpenedBatch, { readonly kind: "full" }>;

function whatIsFull(
  live: LiveSums,
  wanted: NewBatch,
  limits: AllowanceLimits,
  hold: { readonly tokensMax: number; readonly untilMs: EpochMs } | null,
): Full | null {
  const full = (limit: Full["limit"]): Full => ({ kind: "full", limit, tokensLeft: null, retryAtMs: null });
  if (limits.oneAtATime && live.uncreated > 0) return full("one_at_a_time");
  if (live.batches >= (limits.openBatchesMax ?? Infinity)) return full("open_batches");
  if (live.lines + wanted.lines > (limits.linesMax ?? Infinity)) return full("queued_lines");
  const tokensMax = Math.min(limits.tokensMax ?? Infinity, hold?.tokensMax ?? Infinity);
  if (live.tokens + wanted.tokens <= tokensMax) return null;
  const isHeld = hold !== null && hold.tokensMax < (limits.tokensMax ?? Infinity);
  return {
    ...full("enqueued_tokens"),
    tokensLeft: Math.max(0, tokensMax - live.tokens),
    retryAtMs: isHeld ? hold.untilMs : null,
  };
}

function insertBatch(client: pg.PoolClient, session: SessionNo, batch: Batch): void {
  send(
    client,
    "batch-insert",
    `INSERT INTO batches (no, version, state, session_no, account, pool, model, lines, tokens, created_ms, next_at_ms, facts)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
    [
      batch.no,
      batch.version,
      batch.state,
      session,
      batch.account,
      batch.pool,
      batch.model,
      batch.lines,
      batch.tokens,
      batch.createdAtMs,
      batch.nextAtMs,
      factsOf(batch),
    ],
  );
}

/** A hold that is still in force is never made higher or shorter. */
export async function holdAccount(
  context: LedgerContext,
  account: string,
  tokensMax: number | null,
  untilMs: EpochMs,
): Promise<void> {
  await run(
    context.pools.durable,
    "batch-account-hold",
    `INSERT INTO batch_accounts AS a (account, tokens_max, hold_until_ms) VALUES ($1, $2, $3)
     ON CONFLICT (account) DO UPDATE SET
       tokens_max = CASE WHEN a.hold_until_ms > (extract(epoch FROM clock_timestamp()) * 1000)::int8
         THEN least(a.tokens_max, excluded.tokens_max) ELSE excluded.tokens_max END,
       hold_until_ms = CASE WHEN a.hold_until_ms > (extract(epoch FROM clock_timestamp()) * 1000)::int8
         THEN greatest(a.hold_until_ms, excluded.hold_until_ms) ELSE excluded.hold_until_ms END`,
    [account, tokensMax, untilMs],
  );
}
