import type pg from "pg";
import type { EpochMs } from "../../../domain/ids.js";
import { send } from "../connection.js";
import { LOCK_NUMBERS, wakeWaitingFor } from "./postgres-budgets.js";

/**
 * For the UPDATE of an attempt that somebody says the cost of, in its SET: a later bill may say otherwise. `outcomes-record` does the same
 * for those whose cost is not known. The attempt's own row remembers the windows in which it was counted: clocks, labels and the config at
 * the time of a bill may say others.
 */
export const STAYS_CORRECTABLE = "counted_in = coalesce(reserved_in, counted_in)";

/**
 * Moves what is settled in the budgets that have counted an attempt. Whoever calls it holds the attempt's row and changes its cost in the
 * same transaction: by that it happens once. Budgets are the last rows that a transaction locks.
 * @param countedIn the numbers of its budgets, as PostgreSQL writes an array; null: none.
 * @param byNanoUsd what became free is offered to executions that wait for it.
 */
export function correctSettled(
  client: pg.PoolClient,
  countedIn: string | null | undefined,
  byNanoUsd: bigint,
  nowMs: EpochMs,
): void {
  if (countedIn === null || countedIn === undefined || byNanoUsd === 0n) return;
  send(client, "budgets-lock-numbers", LOCK_NUMBERS, [countedIn]);
  send(
    client,
    "budgets-correct",
    "UPDATE budgets SET settled_nano = greatest(0, settled_nano + $2::int8) WHERE no = ANY($1::int4[])",
    [countedIn, byNanoUsd],
  );
  if (byNanoUsd < 0n) wakeWaitingFor(client, countedIn, 1, nowMs);
}
