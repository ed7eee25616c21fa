import type pg from "pg";
import type { AttemptIntent } from "../../domain/execution/execution.js";
import type { ProviderKind } from "../../domain/route/route.js";
import { int4Array, int8Array, textArray } from "./binary-array.js";
import { columnsOf, int4Column, int8Column, textColumn } from "./columns.js";
import type { LedgerKey } from "../../domain/ids.js";
import { run, send } from "./connection.js";

export interface NewAttempt {
  readonly intent: AttemptIntent;
  readonly executionNo: number;
}

const ATTEMPT_COLUMNS = [
  int8Column(({ intent }: NewAttempt) => intent.no),
  int8Column(({ executionNo }: NewAttempt) => executionNo),
  int4Column(({ intent }: NewAttempt) => intent.number),
  textColumn(({ intent }: NewAttempt) => intent.account),
  textColumn(({ intent }: NewAttempt) => intent.provider),
  textColumn(({ intent }: NewAttempt) => intent.model),
  int4Column(({ intent }: NewAttempt) => intent.routeIndex),
  int8Column(({ intent }: NewAttempt) => intent.maxNanoUsd),
  int8Column(({ intent }: NewAttempt) => intent.startedAtMs),
  int8Column(({ intent }: NewAttempt) => intent.supersedes ?? null),
];

/** Attempts that are about to be sent. @param reservedIn of those that hold money, the numbers of their budgets as PostgreSQL writes an array. */
export function insertAttempts(
  client: pg.PoolClient,
  session: number,
  day: number,
  intents: readonly NewAttempt[],
  reservedIn: ReadonlyMap<number, string>,
): void {
  if (intents.length === 0) return;
  const holds = reservedIn.size > 0;
  send(
    client,
    holds ? "attempts-insert-holding" : "attempts-insert",
    `INSERT INTO attempts (day, session_no, state, no, execution_no, number, account, provider, model, route_index, max_nano, started_ms, supersedes
       ${holds ? ", reserved_in" : ""})
     SELECT $1, $2, 'sending', u.no, u.execution, u.number, u.account, u.provider, u.model, u.route, u.max_nano, u.started, u.supersedes
       ${holds ? ", u.reserved_in::int4[]" : ""}
     FROM unnest($3::int8[], $4::int8[], $5::int4[], $6::text[], $7::text[], $8::text[], $9::int4[], $10::int8[], $11::int8[], $12::int8[]
         ${holds ? ", $13::text[]" : ""})
       AS u(no, execution, number, account, provider, model, route, max_nano, started, supersedes${holds ? ", reserved_in" : ""})`,
    [
      day,
      session,
      ...columnsOf(ATTEMPT_COLUMNS, intents),
      ...(holds ? [textArray(intents.map(({ intent }) => reservedIn.get(intent.no) ?? null))] : []),
    ],
  );
}

/** Attempts that are as they are given here and have no outcome yet, or only a doubt. */
export async function openAttempts(
  pool: pg.Pool,
  attempts: readonly { readonly execution: LedgerKey; readonly attempt: AttemptIntent }[],
): Promise<ReadonlySet<number>> {
  const rows = await run(
    pool,
    "attempts-open",
    `SELECT a.no FROM unnest($1::int8[], $2::int4[], $3::int8[], $4::int8[], $5::text[]) AS u(no, day, execution, started, account)
     JOIN attempts a ON a.no = u.no AND a.day = u.day
     WHERE a.execution_no = u.execution AND a.started_ms = u.started AND a.account = u.account
       AND a.state IN ('sending', 'batched', 'in_doubt', 'settled')`,
    [
      int8Array(attempts.map(({ attempt }) => attempt.no)),
      int4Array(attempts.map(({ execution }) => execution.day)),
      int8Array(attempts.map(({ execution }) => execution.no)),
      int8Array(attempts.map(({ attempt }) => attempt.startedAtMs)),
      textArray(attempts.map(({ attempt }) => attempt.account)),
    ],
  );
  return new Set(rows.map(([no]) => Number(no)));
}

/** The columns that `readIntent` reads. `a` is the alias of attempts. */
export const INTENT_COLUMNS =
  "a.no, a.number, a.account, a.provider, a.model, a.route_index, a.max_nano, a.started_ms, a.batch_no";

export function readIntent(row: readonly (string | null)[]): AttemptIntent {
  const [no, number, account, provider, model, routeIndex, maxNano, startedMs, batchNo] = row;
  return {
    no: Number(no),
    number: Number(number),
    account: account ?? "",
    provider: provider as ProviderKind, // written from a Route
    model: model ?? "",
    routeIndex: Number(routeIndex),
    maxNanoUsd: BigInt(maxNano ?? 0),
    startedAtMs: Number(startedMs),
    ...(batchNo === null || batchNo === undefined ? {} : { batchNo: Number(batchNo) }),
  };
}
