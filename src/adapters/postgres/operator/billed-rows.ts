import type pg from "pg";
import type { BookedAttempt } from "../../../domain/cost/bill-row.js";
import type { PastCall } from "../../../domain/cost/reprice.js";
import type { LedgerKey } from "../../../domain/ids.js";
import { int4Array, int8Array } from "../binary-array.js";
import { run } from "../connection.js";
import type { CostPeriod } from "./cost-rows.js";
import { numberOrNull } from "./letter-rows.js";
import type { ReportClient } from "./report-connection.js";

/** An attempt for comparison with a bill. */
export interface LedgerAttempt extends BookedAttempt {
  readonly key: LedgerKey;
  readonly account: string;
  readonly model: string;
}

const COLUMNS =
  "a.no, a.day, a.account, a.model, a.state, a.outcome, a.nano_usd, a.input_tokens, a.cached_input_tokens, a.output_tokens";

function readAttempt(row: readonly (string | null)[]): LedgerAttempt {
  const [no, day, account, model, state, outcome = null, nanoUsd = null, input, cached, output] = row;
  return {
    key: { no: Number(no), day: Number(day) },
    account: account ?? "",
    model: model ?? "",
    state: state ?? "",
    outcome,
    nanoUsd: nanoUsd === null ? null : BigInt(nanoUsd),
    inputTokens: numberOrNull(input),
    cachedInputTokens: numberOrNull(cached),
    outputTokens: numberOrNull(output),
  };
}

/** Those that the ledger has, by number. */
export async function attemptsNamed(
  pool: pg.Pool,
  keys: readonly LedgerKey[],
): Promise<ReadonlyMap<number, LedgerAttempt>> {
  const rows = await run(
    pool,
    "attempts-billed",
    `SELECT ${COLUMNS} FROM unnest($1::int8[], $2::int4[]) AS u(no, day) JOIN attempts a ON a.no = u.no AND a.day = u.day`,
    [int8Array(keys.map(({ no }) => no)), int4Array(keys.map(({ day }) => day))],
  );
  return new Map(rows.map(readAttempt).map((attempt) => [attempt.key.no, attempt]));
}

const WITHIN = "a.account = ANY($1) AND a.started_ms BETWEEN $2::int8 AND $3::int8 - 1";

function within(accounts: readonly string[], { sinceMs, untilMs }: CostPeriod): readonly unknown[] {
  return [accounts, sinceMs ?? 0, untilMs ?? Number.MAX_SAFE_INTEGER];
}

/** Attempts of these accounts, begun in the period, that a complete bill must name, or that wait for one. */
export async function* attemptsToBill(
  client: ReportClient,
  accounts: readonly string[],
  period: CostPeriod,
): AsyncGenerator<LedgerAttempt> {
  const rows = client.stream(
    // Doubts whatever their amount: routers stored 0 with those of calls that broke off.
    `SELECT ${COLUMNS} FROM attempts a WHERE ${WITHIN} AND (a.state IN ('in_doubt', 'settled') OR a.state IN ('answered', 'failed') AND a.nano_usd IS DISTINCT FROM 0)
     ORDER BY a.no`,
    within(accounts, period),
  );
  for await (const row of rows) yield readAttempt(row);
}

/** The sum of what is booked for calls of these accounts that began in the period. */
export async function bookedNanoUsd(
  client: ReportClient,
  accounts: readonly string[],
  period: CostPeriod,
): Promise<bigint> {
  const [row] = await client.rows(
    "",
    `SELECT coalesce(sum(c.nano_usd), 0) FROM costs c JOIN attempts a ON a.no = c.attempt_no AND a.day = c.day WHERE ${WITHIN}`,
    within(accounts, period),
  );
  return BigInt(row?.[0] ?? 0);
}

/** A call that has a cost record: what it used and cost. */
export interface BookedCall extends PastCall {
  readonly account: string;
  readonly model: string;
  readonly mode: "direct" | "batch";
}

/** Calls of all accounts that began in the period and have a cost record, in no order. */
export async function* bookedCalls(client: ReportClient, { sinceMs, untilMs }: CostPeriod): AsyncGenerator<BookedCall> {
  const rows = client.stream(
    `SELECT a.account, a.model, a.batch_no IS NOT NULL, a.nano_usd, a.input_tokens, a.cached_input_tokens, a.output_tokens
     FROM costs c JOIN attempts a ON a.no = c.attempt_no AND a.day = c.day
     WHERE c.kind = 'charge' AND a.started_ms BETWEEN $1::int8 AND $2::int8 - 1`,
    [sinceMs ?? 0, untilMs ?? Number.MAX_SAFE_INTEGER],
  );
  for await (const [account, model, isLine, paid = null, input, cached, output] of rows)
    yield {
      account: account ?? "",
      model: model ?? "",
      mode: isLine === "t" ? "batch" : "direct",
      paid: paid === null ? null : BigInt(paid),
      usage: {
        inputTokens: numberOrNull(input),
        cachedInputTokens: numberOrNull(cached),
        outputTokens: numberOrNull(output),
      },
    };
}
