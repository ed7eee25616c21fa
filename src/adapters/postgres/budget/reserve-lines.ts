import type pg from "pg";
import { waitForBudget } from "../../../domain/budget/budget.js";
import { payerOf } from "../../../domain/budget/budget-levels.js";
import type { EpochMs, LedgerKey } from "../../../domain/ids.js";
import { int4Array, int8Array, textArray } from "../binary-array.js";
import { send } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { insertReady, type ReadyRow } from "../ready-rows.js";
import { waitersOf } from "../waiters.js";
import { payersOf } from "./payers.js";

const NONE: ReadonlySet<number> = new Set();

/** A line that this transaction has bound. */
export interface BoundAttempt {
  readonly attemptNo: number;
  readonly execution: LedgerKey;
  readonly tenantNo: number;
  readonly account: string;
  /** At the batch's price. */
  readonly maxNanoUsd: bigint;
}

/**
 * Reserves the maximum of each line. Those without room in their budget are given back, as if they had never been bound, and wait for
 * money among the calls: a claim decides anew about them.
 * @returns their attempts.
 */
export async function reserveLines(
  client: pg.PoolClient,
  context: LedgerContext,
  bound: readonly BoundAttempt[],
  nowMs: EpochMs,
): Promise<ReadonlySet<number>> {
  if (!context.budgets.any || bound.length === 0) return NONE;
  const payers = await payersOf(
    client,
    context,
    bound.map(({ execution, tenantNo }) => ({ key: execution, tenant: context.tenants.nameOf(tenantNo) })),
  );
  const { refused, reservedIn } = await context.budgets.reserve(
    client,
    bound.map(({ attemptNo, execution, account, tenantNo, maxNanoUsd }) => ({
      spender: { ...(payers.get(execution.no)?.[0].payer ?? payerOf(context.tenants.nameOf(tenantNo), {})), account },
      attemptNo,
      maxNanoUsd,
    })),
  );
  holdLines(
    client,
    bound.filter(({ attemptNo }) => reservedIn.has(attemptNo)),
    reservedIn,
  );
  if (refused.size === 0) return NONE;
  const lines = bound.filter(({ attemptNo }) => refused.has(attemptNo));
  const keys = [
    int8Array(lines.map(({ execution }) => execution.no)),
    int4Array(lines.map(({ execution }) => execution.day)),
  ];
  send(
    client,
    "lines-refused",
    `UPDATE attempts a SET state = 'not_sent', outcome = 'cancelled', ended_ms = $1 FROM unnest($2::int8[], $3::int4[]) AS u(no, day)
     WHERE a.no = u.no AND a.day = u.day`,
    [nowMs, int8Array(lines.map(({ attemptNo }) => attemptNo)), keys[1]],
  );
  send(
    client,
    "lines-put-off",
    "UPDATE executions e SET state = 'ready' FROM unnest($1::int8[], $2::int4[]) AS u(no, day) WHERE e.no = u.no AND e.day = u.day",
    keys,
  );
  const waiters = await waitersOf(
    client,
    context,
    lines.map(({ execution }) => execution),
  );
  insertReady(
    client,
    lines.map(({ attemptNo, execution }) => ({
      ...execution,
      ...waitRow(refused.get(attemptNo), nowMs),
      priority: waiters.get(execution.no)?.priority ?? 5,
      expiresMs: waiters.get(execution.no)?.nearestDeadlineMs ?? nowMs,
      bytes: null,
    })),
  );
  return new Set(refused.keys());
}

/** Rows of our own: the lines were bound before it was known whether there is money for them. */
function holdLines(
  client: pg.PoolClient,
  lines: readonly BoundAttempt[],
  reservedIn: ReadonlyMap<number, string>,
): void {
  if (lines.length === 0) return;
  send(
    client,
    "lines-hold",
    `UPDATE attempts a SET reserved_in = u.reserved_in::int4[] FROM unnest($1::int8[], $2::int4[], $3::text[]) AS u(no, day, reserved_in)
     WHERE a.no = u.no AND a.day = u.day`,
    [
      int8Array(lines.map(({ attemptNo }) => attemptNo)),
      int4Array(lines.map(({ execution }) => execution.day)),
      textArray(lines.map(({ attemptNo }) => reservedIn.get(attemptNo) ?? null)),
    ],
  );
}

/** @param key of the budget without room. */
function waitRow(key: string | undefined, nowMs: EpochMs): Pick<ReadyRow, "runAtMs" | "waitsFor" | "level"> {
  const { runAtMs, waitsFor, level } = waitForBudget({ key: key ?? "" }, nowMs);
  return { runAtMs, waitsFor, level };
}
