import { createReadStream } from "node:fs";
import { gunzipSync } from "node:zlib";
import type pg from "pg";
import type { Canary, CanaryHit, SinkReading } from "./evidence.js";

/**
 * Reads places through and looks for every canary in them. Logs are streamed and tables come by a cursor, so that no sink has to fit
 * into memory.
 */
export async function searchFile(
  kind: SinkReading["kind"],
  file: string,
  canaries: readonly Canary[],
): Promise<SinkReading> {
  const search = new Search(canaries);
  for await (const chunk of createReadStream(file)) search.add(chunk as Buffer); // a stream without an encoding gives buffers
  return { kind, name: file, bytes: search.bytes, hits: search.hits(file, null) };
}

export function searchText(
  kind: SinkReading["kind"],
  name: string,
  text: string,
  canaries: readonly Canary[],
): SinkReading {
  const search = new Search(canaries);
  search.add(Buffer.from(text, "utf8"));
  return { kind, name, bytes: search.bytes, hits: search.hits(name, null) };
}

/** A Redis, as far as it is searched: every key with whatever it holds, as the conductor's client read it. */
export function searchEntries(
  kind: SinkReading["kind"],
  name: string,
  entries: Iterable<readonly [key: string, value: Buffer]>,
  canaries: readonly Canary[],
): SinkReading {
  const hits: CanaryHit[] = [];
  let bytes = 0;
  for (const [key, value] of entries) {
    const search = new Search(canaries);
    search.add(Buffer.concat([Buffer.from(`${key}\n`, "utf8"), value]));
    bytes += search.bytes;
    hits.push(...search.hits(`${name} ${key}`, null));
  }
  return { kind, name, bytes, hits };
}

/** Tables whose rows belong to a tenant, with where they say so. */
const BY_COLUMN = "(SELECT name FROM tenants t WHERE t.no = r.tenant_no)";
const TENANT_OF: Readonly<Record<string, string>> = {
  jobs: BY_COLUMN,
  executions: BY_COLUMN,
  costs: BY_COLUMN,
  dead_letters: BY_COLUMN,
  batch_ready: BY_COLUMN,
  // A record on its way is numbered after the job or the dead letter that it is of.
  outbox: `(SELECT name FROM tenants t WHERE t.no = coalesce((SELECT d.tenant_no FROM dead_letters d WHERE d.no = r.no),
    (SELECT j.tenant_no FROM jobs j WHERE j.no = r.no)))`,
};

/** Rows that keep a record which nobody could read, so that no tenant is known, with where that record lies. */
const PLACE_OF = "concat_ws(':', d.topic, d.partition, d.source_offset)";
const SOURCE_OF: Readonly<Record<string, string>> = {
  dead_letters: `(SELECT ${PLACE_OF} FROM dead_letters d WHERE d.no = r.no AND d.tenant_no IS NULL)`,
  outbox: `(SELECT ${PLACE_OF} FROM dead_letters d WHERE d.no = r.no AND d.tenant_no IS NULL)`,
};

const ROWS_AT_ONCE = 1_000;

/**
 * Every column of every table of the database's public schema; compressed bytes and base64 are searched decoded too. A hit in a row that belongs to a tenant says
 * whose row it is.
 * @param client not in a transaction.
 */
export async function searchLedger(
  client: pg.ClientBase,
  canaries: readonly Canary[],
): Promise<readonly SinkReading[]> {
  const { rows: tables } = await client.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1`,
  );
  const readings: SinkReading[] = [];
  // One after the other: one connection answers in order anyway.
  for (const { name } of tables) readings.push(await searchTable(client, name, canaries));
  return readings;
}

type Row = Readonly<Record<string, unknown>>;

async function searchTable(client: pg.ClientBase, table: string, canaries: readonly Canary[]): Promise<SinkReading> {
  const tenant = TENANT_OF[table] ?? "NULL::text";
  const source = SOURCE_OF[table] ?? "NULL::text";
  const found = new Map<string, CanaryHit>();
  let bytes = 0;
  await client.query("BEGIN READ ONLY");
  try {
    await client.query(
      `DECLARE sink NO SCROLL CURSOR FOR SELECT ${tenant} AS sink_tenant, ${source} AS sink_source, r.* FROM ${client.escapeIdentifier(table)} r`,
    );
    for (;;) {
      const { rows } = await client.query<Row>(`FETCH ${String(ROWS_AT_ONCE)} FROM sink`);
      for (const row of rows) bytes += searchRow(row, table, canaries, found);
      if (rows.length < ROWS_AT_ONCE) break;
    }
  } finally {
    await client.query("ROLLBACK");
  }
  return { kind: "ledger", name: table, bytes, hits: [...found.values()] };
}

/** @returns how many bytes were searched. */
function searchRow(row: Row, table: string, canaries: readonly Canary[], found: Map<string, CanaryHit>): number {
  const { sink_tenant: owner, sink_source: place, ...columns } = row;
  const tenant = typeof owner === "string" ? owner : null;
  const source = tenant === null && typeof place === "string" ? { source: place } : {};
  let bytes = 0;
  for (const [column, value] of Object.entries(columns)) {
    const searched = toBytes(value);
    if (searched === null) continue;
    const search = new Search(canaries);
    search.add(searched);
    bytes += searched.length;
    for (const hit of search.hits(`${table}.${column}`, tenant)) {
      const key = JSON.stringify([hit.canary, hit.where, tenant, source]);
      found.set(key, { ...hit, ...source, count: hit.count + (found.get(key)?.count ?? 0) });
    }
  }
  return bytes;
}

function toBytes(value: unknown): Buffer | null {
  if (value === null || value === undefined) return null;
  if (Buffer.isBuffer(value)) return inflated(value);
  if (typeof value === "string") return withDecoded(value);
  return Buffer.from(JSON.stringify(value), "utf8");
}

/** How gzip begins. */
const GZIP = Buffer.from([0x1f, 0x8b]);
const INFLATED_BYTES_MAX = 64 * 1024 * 1024;

function inflated(bytes: Buffer): Buffer {
  if (!bytes.subarray(0, GZIP.length).equals(GZIP)) return bytes;
  try {
    return Buffer.concat([bytes, gunzipSync(bytes, { maxOutputLength: INFLATED_BYTES_MAX })]);
  } catch {
    return bytes; // only looked like it
  }
}

const BASE64 = /[A-Za-z0-9+/]{24,}={0,2}/g;

/** Text with what stands in it as base64, such as kept headers. */
function withDecoded(text: string): Buffer {
  const decoded = (text.match(BASE64) ?? []).map((part) => Buffer.from(part, "base64"));
  return decoded.length === 0 ? Buffer.from(text, "utf8") : Buffer.concat([Buffer.from(text, "utf8"), ...decoded]);
}

/** Counts canaries in bytes that come in pieces. */
class Search {
  bytes = 0;
  readonly #wanted: readonly { readonly name: string; readonly bytes: Buffer }[];
  readonly #counts = new Map<string, number>();
  readonly #keepBytes: number;
  #tail = Buffer.alloc(0);

  constructor(canaries: readonly Canary[]) {
    this.#wanted = canaries.map(({ name, text }) => ({ name, bytes: Buffer.from(text, "utf8") }));
    this.#keepBytes = Math.max(0, ...this.#wanted.map(({ bytes }) => bytes.length - 1));
  }

  add(chunk: Buffer): void {
    this.bytes += chunk.length;
    const searched = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    for (const { name, bytes } of this.#wanted) {
      // One that ends in the tail was counted with the piece before.
      let at = searched.indexOf(bytes, Math.max(0, this.#tail.length - bytes.length + 1));
      while (at !== -1) {
        this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
        at = searched.indexOf(bytes, at + bytes.length);
      }
    }
    this.#tail = Buffer.from(searched.subarray(Math.max(0, searched.length - this.#keepBytes)));
  }

  hits(where: string, tenant: string | null): readonly CanaryHit[] {
    return [...this.#counts].map(([canary, count]) => ({ canary, count, tenant, where }));
  }
}
