import type pg from "pg";
import { int4Array, int8Array } from "../binary-array.js";
import { send } from "../connection.js";
import { LOCK_NUMBERS } from "./postgres-budgets.js";

/** What attempts reserve once more that were believed not to run, by their budgets. Not asked for: their provider has them already. */
export function reserveAgain(
  client: pg.PoolClient,
  budgets: readonly { readonly no: number; readonly nanoUsd: bigint }[],
): void {
  if (budgets.length === 0) return;
  const numbers = int4Array(budgets.map(({ no }) => no));
  send(client, "budgets-lock-numbers", LOCK_NUMBERS, [numbers]);
  send(
    client,
    "budgets-reserve-again",
    "UPDATE budgets b SET reserved_nano = b.reserved_nano + u.nano FROM unnest($1::int4[], $2::int8[]) AS u(no, nano) WHERE b.no = u.no",
    [numbers, int8Array(budgets.map(({ nanoUsd }) => nanoUsd))],
  );
}
