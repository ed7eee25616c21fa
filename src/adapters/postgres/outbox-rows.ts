import type pg from "pg";
import type { Outgoing } from "../../domain/result/outgoing.js";
import type { OutboxGroup } from "../../ports/ledger.js";
import { bytesOrNull } from "./stored-body.js";
import { run, send } from "./connection.js";
import { int4Array, int8Array, textArray } from "./binary-array.js";
import { byteaColumn, columnsOf, int4Column, int8Column, textColumn } from "./columns.js";
import type { NumberBlock } from "./number-block.js";

/** Header values are text; bytes that came from the caller are marked, so that they return byte for byte. */
function headersText(headers: Outgoing["headers"]): string {
  return JSON.stringify(headers.map(storedHeader));
}

function storedHeader(header: Outgoing["headers"][number]): readonly [string, string, 1?] {
  const [name, value] = header;
  return typeof value === "string" ? [name, value] : [name, value.toString("base64"), 1];
}

function parseHeaders(text: string): (readonly [string, Buffer | string])[] {
  const stored = JSON.parse(text) as [string, string, 1?][]; // written by headersText
  return stored.map(([name, value, bytes]) => [name, bytes === 1 ? Buffer.from(value, "base64") : value]);
}

const DAY = int4Column(({ day }: Outgoing) => day);
const NO = int8Column(({ no }: Outgoing) => no);
const KIND = textColumn(({ kind }: Outgoing) => kind);
const OUTBOX_COLUMNS = [
  DAY,
  NO,
  KIND,
  textColumn(({ topic }: Outgoing) => topic),
  int4Column(({ partition }: Outgoing) => partition),
  byteaColumn(({ key }: Outgoing) => key),
  textColumn(({ headers }: Outgoing) => headersText(headers)),
  byteaColumn(({ value }: Outgoing) => value),
];
const QUEUE_COLUMNS = [KIND, NO, DAY];

/**
 * Writes records to the outbox and one queue row a topic; returns the groups for the relay's memory. A row is never dated later than the
 * database's clock says: what a killed router with a clock ahead of it left would wait for that time.
 */
export function insertOutbox(
  client: pg.PoolClient,
  numbers: NumberBlock,
  session: number,
  nowMs: number,
  outgoing: readonly Outgoing[],
): OutboxGroup[] {
  if (outgoing.length === 0) return [];
  send(
    client,
    "outbox-insert",
    `INSERT INTO outbox (day, no, kind, topic, partition, key, headers, value)
     SELECT * FROM unnest($1::int4[], $2::int8[], $3::text[], $4::text[], $5::int4[], $6::bytea[], $7::text[], $8::bytea[])`,
    columnsOf(OUTBOX_COLUMNS, outgoing),
  );
  const byTopic = new Map<string, Outgoing[]>();
  for (const record of outgoing) {
    const list = byTopic.get(record.topic);
    if (list === undefined) byTopic.set(record.topic, [record]);
    else list.push(record);
  }
  const groups: OutboxGroup[] = [];
  for (const [topic, records] of byTopic) {
    const seq = numbers.next();
    send(
      client,
      "outbox-ready-insert",
      `INSERT INTO outbox_ready (seq, session_no, topic, at_ms, kinds, nos, days) VALUES ($1, $2, $3, least($4::int8, (extract(epoch FROM clock_timestamp()) * 1000)::bigint), $5::text[], $6::int8[], $7::int4[])`,
      [seq, session, topic, nowMs, ...columnsOf(QUEUE_COLUMNS, records)],
    );
    groups.push({ seq, topic, records, sinceMs: nowMs });
  }
  return groups;
}

export interface OutboxTake {
  readonly session: number;
  readonly limit: number;
  readonly olderThanMs: number;
  readonly silentAfterMs: number;
  readonly butNot: readonly string[];
}

/** Takes queue rows over from routers that are gone, or that this one no longer has in memory. */
export async function takeOutboxRows(client: pg.PoolClient, take: OutboxTake): Promise<OutboxGroup[]> {
  const rows = await run(
    client,
    "outbox-take",
    `WITH RECURSIVE parts AS (
       (SELECT session_no, topic FROM outbox_ready ORDER BY session_no, topic LIMIT 1)
       UNION ALL
       SELECT n.session_no, n.topic FROM parts p, LATERAL (
         SELECT o.session_no, o.topic FROM outbox_ready o WHERE (o.session_no, o.topic) > (p.session_no, p.topic)
         ORDER BY o.session_no, o.topic LIMIT 1) n),
     free AS MATERIALIZED (
       SELECT p.session_no, p.topic FROM parts p WHERE p.topic <> ALL($5::text[]) AND (p.session_no = $1 OR NOT EXISTS (
         SELECT 1 FROM routers r WHERE r.session_no = p.session_no AND r.ended_at IS NULL
           AND r.beat_at > clock_timestamp() - make_interval(secs => $4::float8 / 1000)))),
     due AS MATERIALIZED (
       SELECT d.seq FROM free f, LATERAL (
         SELECT q.seq FROM outbox_ready q WHERE q.session_no = f.session_no AND q.topic = f.topic
           AND q.at_ms < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $3
           AND q.after_ms <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint
         ORDER BY q.seq + 0 LIMIT $2 FOR UPDATE SKIP LOCKED) d
       ORDER BY d.seq LIMIT $2)
     UPDATE outbox_ready o SET session_no = $1, after_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $3
     FROM due WHERE o.seq = due.seq
     RETURNING o.seq, o.topic, array_to_json(o.kinds), array_to_json(o.nos), array_to_json(o.days), o.at_ms`,
    [take.session, take.limit, take.olderThanMs, take.silentAfterMs, textArray(take.butNot)],
  );
  const groups: OutboxGroup[] = [];
  for (const [seq, topic, kinds, nos, days, sinceMs] of rows) {
    const keys = {
      kinds: JSON.parse(kinds ?? "[]") as string[],
      nos: JSON.parse(nos ?? "[]") as number[],
      days: JSON.parse(days ?? "[]") as number[],
    };
    // Serial: the sweep is off the usual path and must not take every connection.
    const records = await loadOutgoing(client, keys);
    groups.push({ seq: Number(seq), topic: topic ?? "", records, sinceMs: Number(sinceMs) });
  }
  return groups;
}

export async function loadOutgoing(
  client: pg.PoolClient | pg.Pool,
  keys: { readonly kinds: readonly string[]; readonly nos: readonly number[]; readonly days: readonly number[] },
): Promise<Outgoing[]> {
  const rows = await run(
    client,
    "outbox-load",
    `SELECT o.kind, o.no, o.day, o.topic, o.partition, o.key, o.headers, o.value
     FROM unnest($1::int8[], $2::text[], $3::int4[]) WITH ORDINALITY AS k(no, kind, day, place)
     JOIN outbox o ON o.no = k.no AND o.kind = k.kind AND o.day = k.day ORDER BY k.place`,
    [int8Array(keys.nos), textArray(keys.kinds), int4Array(keys.days)],
  );
  return rows.map(([kind, no, day, topic, partition, key, headers, value]) => ({
    kind: kind as Outgoing["kind"], // the table's CHECK holds the same list
    no: Number(no),
    day: Number(day),
    topic: topic ?? "",
    partition: partition === null || partition === undefined ? null : Number(partition),
    key: bytesOrNull(key ?? null),
    headers: parseHeaders(headers ?? "[]"),
    value: bytesOrNull(value ?? null),
  }));
}
