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
  /** Length of the execution's request as stored; null: looked up. */
  readonly bytes: number | null;
  /** Left out: the execution's, looked up. */
  readonly tenantNo?: number;
  /** What it waits for until there is a grant; left out: it waits until it is due. */
  readonly limit?: string;
}

export function insertReady(client: pg.PoolClient, rows: readonly ReadyRow[]): void {
  if (rows.length === 0) return;
  send(
    client,
    "ready-insert",
    // The length of a stored value is read without the value; a row whose tenant is known asks nobody.
    `INSERT INTO ready (no, day, priority, run_at_ms, expires_ms, waits_for, bytes, tenant_no, limit_name)
     SELECT u.no, u.day, u.priority, u.run_at, u.expires, u.waits_for,
       coalesce(u.bytes, (SELECT octet_length(e.request) FROM executions e WHERE e.no = u.no AND e.day = u.day), 0),
       coalesce(u.tenant_no, (SELECT e.tenant_no FROM executions e WHERE e.no = u.no AND e.day = u.day), 0), u.limit_name
     FROM unnest($1::int8[], $2::int4[], $3::int2[], $4::int8[], $5::int8[], $6::text[], $7::int4[], $8::int4[], $9::text[])
       AS u(no, day, priority, run_at, expires, waits_for, bytes, tenant_no, limit_name)`,
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
    ],
  );
}
