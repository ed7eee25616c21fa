import type pg from "pg";
import { int2Array, int4Array, int8Array, textArray } from "./binary-array.js";
import { send } from "./connection.js";

/** What waits: an execution, due at `runAtMs`; `expiresMs` is the nearest deadline of its jobs. */
export interface ReadyRow {
  readonly no: number;
  readonly day: number;
  readonly priority: number;
  readonly runAtMs: number;
  readonly expiresMs: number;
  readonly waitsFor: string;
  /** Only there where money is the reason: the key of the budget that keeps it out. */
  readonly level?: string;
  /** Length of the execution's request as stored; null: looked up. */
  readonly bytes: number | null;
  /** Left out: the execution's, looked up. */
  readonly tenantNo?: number;
  /** What it waits for until there is a grant; left out: it waits until it is due. */
  readonly limit?: string;
}

/** Rows that wait for money are rare: the column that says whose is only written for them. */
export function insertReady(client: pg.PoolClient, rows: readonly ReadyRow[]): void {
  if (rows.length === 0) return;
  const levels = rows.some(({ level }) => level !== undefined) ? rows.map(({ level }) => level ?? null) : null;
  const [column, value, type, name] =
    levels === null ? ["", "", "", ""] : [", waits_level", ", u.level", ", $10::text[]", ", level"];
  send(
    client,
    levels === null ? "ready-insert" : "ready-insert-level",
    // The length of a stored value is read without the value; a row whose tenant is known asks nobody.
    `INSERT INTO ready (no, day, priority, run_at_ms, expires_ms, waits_for, bytes, tenant_no, limit_name${column})
     SELECT u.no, u.day, u.priority, u.run_at, u.expires, u.waits_for,
       coalesce(u.bytes, (SELECT octet_length(e.request) FROM executions e WHERE e.no = u.no AND e.day = u.day), 0),
       coalesce(u.tenant_no, (SELECT e.tenant_no FROM executions e WHERE e.no = u.no AND e.day = u.day), 0), u.limit_name${value}
     FROM unnest($1::int8[], $2::int4[], $3::int2[], $4::int8[], $5::int8[], $6::text[], $7::int4[], $8::int4[], $9::text[]${type})
       AS u(no, day, priority, run_at, expires, waits_for, bytes, tenant_no, limit_name${name})`,
    [
      int8Array(rows.map((row) => row.no)),
      int4Array(rows.map((row) => row.day)),
      int2Array(rows.map((row) => row.priority)),
      int8Array(rows.map((row) => row.runAtMs)),
      int8Array(rows.map((row) => row.expiresMs)),
      textArray(rows.map((row) => row.waitsFor)),
      int4Array(rows.map((row) => row.bytes)),
      int4Array(rows.map((row) => row.tenantNo ?? null)),
      textArray(rows.map((row) => row.limit ?? "")),
      ...(levels === null ? [] : [textArray(levels)]),
    ],
  );
}
