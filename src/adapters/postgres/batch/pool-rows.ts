import type pg from "pg";
import type { PooledLine } from "../../../domain/batch/queued-line.js";
import type { LedgerKey } from "../../../domain/ids.js";
import { int2Array, int4Array, int8Array, textArray } from "../binary-array.js";
import { send } from "../connection.js";

/** An execution that waits for a batch. */
export interface PoolRow extends LedgerKey, PooledLine {
  readonly tenantNo: number;
  readonly priority: number;
  readonly addedMs: number;
  /** The nearest deadline of its jobs. */
  readonly expiresMs: number;
  /** Length of the execution's request as stored. */
  readonly bytes: number;
  /** Tries so far. */
  readonly attempts: number;
}

export function insertPooled(client: pg.PoolClient, rows: readonly PoolRow[]): void {
  if (rows.length === 0) return;
  send(
    client,
    "batch-ready-insert",
    `INSERT INTO batch_ready (no, day, pool, tenant_no, priority, added_ms, look_at_ms, expires_ms, bytes, attempts, account, provider,
       model, way, line_format, route_index, line_bytes, line_tokens, embedding_inputs, prefix, max_nano)
     SELECT * FROM unnest($1::int8[], $2::int4[], $3::text[], $4::int4[], $5::int2[], $6::int8[], $7::int8[], $8::int8[], $9::int4[],
       $10::int4[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::int4[], $17::int4[], $18::int8[], $19::int4[],
       $20::int8[], $21::int8[])`,
    [
      int8Array(rows.map(({ no }) => no)),
      int4Array(rows.map(({ day }) => day)),
      textArray(rows.map(({ pool }) => pool)),
      int4Array(rows.map(({ tenantNo }) => tenantNo)),
      int2Array(rows.map(({ priority }) => priority)),
      int8Array(rows.map(({ addedMs }) => addedMs)),
      int8Array(rows.map(({ line }) => line.lookAtMs)),
      int8Array(rows.map(({ expiresMs }) => expiresMs)),
      int4Array(rows.map(({ bytes }) => bytes)),
      int4Array(rows.map(({ attempts }) => attempts)),
      textArray(rows.map(({ line }) => line.account)),
      textArray(rows.map(({ line }) => line.provider)),
      textArray(rows.map(({ line }) => line.model)),
      textArray(rows.map(({ line }) => line.way)),
      textArray(rows.map(({ line }) => line.lineFormat)),
      int4Array(rows.map(({ line }) => line.routeIndex)),
      int4Array(rows.map(({ line }) => line.bytes)),
      int8Array(rows.map(({ line }) => line.tokens)),
      int4Array(rows.map(({ line }) => line.embeddingInputs)),
      int8Array(rows.map(({ line }) => line.prefix)),
      int8Array(rows.map(({ line }) => line.maxNanoUsd)),
    ],
  );
}
